"""The house stands: who may import whom, what stays light, what is never done. Read from the sources."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AREAS = ("core", "dashboard", "pages")
HEAVY = {"torch", "torchvision", "captum", "medmnist", "lightning_fabric"}  # each of them imports torch
SOURCES = {area: sorted((ROOT / area).rglob("*.py")) for area in AREAS}
EVERY = [path for paths in SOURCES.values() for path in paths]
PAGES = SOURCES["pages"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path, *, at_start: bool = False) -> set[str]:
    """Full names of all imported modules; with ``at_start`` only of those imported when the module is."""
    found = set()
    pending = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports are absolute here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        pending += list(ast.iter_child_nodes(node))
    return found


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_module(name: str) -> bool:
    """True for our own modules: `imports` also gives the names that are imported from them."""
    place = ROOT / name.replace(".", "/")
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def tops(path: Path, **options: bool) -> set[str]:
    return {name.split(".")[0] for name in imports(path, **options)}


def test_there_is_something_to_read():
    assert all(SOURCES[area] for area in AREAS)
    assert {"core.inference", "core.adaptation"} <= {module_name(path) for path in light_sources()}


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_arrows_run_one_way(path):
    area = path.relative_to(ROOT).parts[0]
    forbidden = {"core": {"dashboard", "pages", "streamlit"}, "dashboard": {"pages"}, "pages": {"pages"}}[area]
    assert not tops(path) & forbidden


# Arrows inside core run down this list: a part imports from the rows above its own, never from beside or below.
RANKS = (
    {"colours", "csv_text", "errors", "formatting", "paths", "progress", "schema"},
    {"settings", "storage"},
    {"images", "probabilities"},
    {"runs"},
    {"datasets", "models", "studies"},
    {"inference"},
    {"evaluation", "explain"},
    {"adaptation", "training"},
    {"cases", "generator", "report"},
    {"damaged"},
    {"commands"},
    {"cli"},
)
RANK = {part: rank for rank, parts in enumerate(RANKS) for part in parts}


def part_of(name: str) -> str:
    """The part of core that a module, or a name imported from one, belongs to; '' for core itself."""
    return ".".join(name.split(".")[1:2])


@pytest.mark.parametrize("path", SOURCES["core"], ids=name_of)
def test_inside_core_arrows_run_down_the_ranks(path):
    own = part_of(module_name(path))
    if own in ("", "__main__"):
        return
    parts = {part_of(name) for name in imports(path) if name.startswith("core.")} - {own, "__version__"}
    assert not {part for part in parts if RANK[part] >= RANK[own]}


def test_no_module_imports_itself_by_way_of_others():
    names = {module_name(path): path for path in EVERY if path.parts[-2] != "pages"}
    graph = {}
    for name, path in names.items():
        modules = {n for n in imports(path) if n in names}
        packages = {n.rpartition(".")[0] for n in modules}  # `from package import module` means the module
        graph[name] = modules - packages - {name}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def light_sources() -> list[Path]:
    """All but what trains, exports or draws maps, and the pages and commands that do."""
    heavy = {"cli", "commands", "explain", "generator", "models", "report", "training"}
    core = [path for path in SOURCES["core"] if part_of(module_name(path)) not in heavy | {"", "__main__"}]
    return core + SOURCES["dashboard"] + [path for path in PAGES if path.stem != "explain"]


@pytest.mark.parametrize("path", light_sources(), ids=name_of)
def test_light_modules_name_nothing_heavy_at_their_start(path):
    reached = imports(path, at_start=True)
    assert not {name.split(".")[0] for name in reached} & HEAVY
    assert not any(name.startswith(("core.models", "core.training")) for name in reached)


def test_importing_the_light_modules_brings_no_torch():
    """Once for all of them in a fresh interpreter, where what imports what doesn't matter."""
    modules = {module_name(path) for path in light_sources() if path not in PAGES}  # pages are scripts: read, not run
    for page in PAGES:
        if page.stem != "explain":
            modules |= {name for name in imports(page) if is_module(name)}
    script = f"import importlib, sys\nfor name in {sorted(modules)!r}:\n    importlib.import_module(name)\n"
    script += f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_nothing_stored_can_run_code_and_no_markup_is_injected(path):
    assert not tops(path) & {"pickle", "joblib", "dill", "cloudpickle", "shelve"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {k.arg: k.value for k in node.keywords}
        where = f"{name_of(path)}:{node.lineno}"
        assert not _is(given.get("allow_pickle"), True), where
        assert not _is(given.get("weights_only"), False), where
        assert "unsafe_allow_html" not in given, where
        assert called not in ("torch.load", "st.html", "components.html", "eval", "exec"), where
        if called in ("np.load", "numpy.load"):
            assert _is(given.get("allow_pickle"), False), f"{where}: say allow_pickle=False"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_page_only_composes_and_says_what_it_is(path):
    """What it does lies in its room: a page defines nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert ast.get_docstring(tree)
    facts = next(
        ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "PAGE"
    )
    assert set(facts) == {"title", "icon", "path", "order"}
    assert facts["icon"].startswith(":material/")


def test_every_page_has_its_own_address_and_place():
    from dashboard.app import find_pages

    facts = [page for _, page in find_pages(ROOT / "pages")]
    assert len({page["path"] for page in facts}) == len(facts)
    assert len({page["order"] for page in facts}) == len(facts)
    assert facts[0]["path"] == "home"


@pytest.mark.parametrize("path", EVERY, ids=name_of)
def test_every_module_says_what_it_is_for(path):
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text))


def documented() -> list[tuple[Path, ast.AST, str]]:
    """Every public function, class and method of core and dashboard: where, the node, its full name."""
    found = []

    def look(path: Path, node: ast.AST, inside: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and child.name[0] != "_":
                if any(ast.unparse(d).startswith("register(") for d in child.decorator_list):
                    continue  # a model's summary is told there
                found.append((path, child, f"{inside}.{child.name}"))
                if isinstance(child, ast.ClassDef):
                    look(path, child, f"{inside}.{child.name}")

    for path in SOURCES["core"] + SOURCES["dashboard"]:
        look(path, ast.parse(path.read_text(encoding="utf-8")), module_name(path))
    return found


# What a library or a registry documents: torch's forward, argparse's way into a command, a view's entry.
TOLD_ELSEWHERE = {"forward", "add_parser", "render", "run", "main"}


def test_every_public_name_says_what_it_is():
    silent = [name for _, node, name in documented() if not ast.get_docstring(node)]
    assert [name for name in silent if name.rpartition(".")[2] not in TOLD_ELSEWHERE] == []


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110
