"""Compare, study by study: what tuning, single ingredients and the seed changed."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.evaluation.effects import base_of, effects, measures, spread
from core.evaluation.importance import FEWEST, Importance, importance
from core.serving.wording import count
from core.studies import Study
from dashboard import catalogue
from dashboard.drawn import drawn
from dashboard.figures.studies import (
    effect_dots,
    importance_bars,
    pair_heatmap,
    parallel_settings,
    search_history,
    seed_dots,
)
from dashboard.trials import (
    best_so_far,
    effect_table,
    pair_table,
    spoken,
    spread_table,
    trial_table,
    value_text,
    varied,
)
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.export import exported

SEEDS = "seeds"  # in the address bar: all studies of seeds together
_MEASURES = {"test": "On test", "score": "On val"}
_SHORT = {"test": "test", "score": "val"}


def studies(bench: Bench) -> None:
    """One study at a time: a search, an ablation, or all studies of seeds together."""
    found = [study for study in catalogue.studies() if study.dataset == bench.spec.name]
    if not found:
        _nothing_yet(bench.spec.name)
        return
    named = _named(found)
    titles = {key: _title(group) for key, group in named.items()}
    key = choice("study", "Study", titles, next(iter(titles)), "study", box=True, width=520)
    group = named[key]
    if group[0].kind == "tune":
        _search(group[0], bench)
    elif group[0].kind == "ablation":
        _ablation(group[0], bench)
    else:
        _seeds(group, bench)


def _nothing_yet(dataset: str) -> None:
    st.info(
        "Here will be what many small trainings found out: which settings are best, what each ingredient gives, how "
        "much the seed changes. There is no study yet. One of these commands in a terminal makes one:",
        icon=":material/science:",
    )
    st.code(
        "python -m core tune --model cnn_4 --trials 40      # which settings are best\n"
        "python -m core ablate                              # what each ingredient gives\n"
        "python -m core repeat cnn_bn --seeds 3             # how much the seed changes",
        language="bash",
    )


def _mark(*group: Study) -> tuple:
    """What everything computed from the studies depends on."""
    return tuple(
        (s.dataset, s.name, *((t.number, t.label, t.score, t.test, t.seconds, t.state) for t in s.trials))
        for s in group
    )


def _named(found: Sequence[Study]) -> dict[str, list[Study]]:
    """What can be chosen, by its name in the address bar; studies of seeds stand together."""
    named: dict[str, list[Study]] = {}
    for study in found:
        named.setdefault(SEEDS if study.kind == "seeds" else study.name, []).append(study)
    return named


def _title(group: Sequence[Study]) -> str:
    kind = {"tune": "Search", "ablation": "Ingredients", "seeds": "Seeds"}[group[0].kind]
    return f"{kind}: {group[0].title if group[0].kind != 'seeds' else count(len(group), 'model')}"


def _facts(group: Sequence[Study], extra: str = "") -> None:
    """One line: what was measured, on what, for how long."""
    seconds, first = sum(study.seconds for study in group), group[0]
    time = f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{max(1, seconds / 60):.0f} min"
    facts = [f"{count(sum(len(study.trials) for study in group), 'training')} in {time}"]
    facts[0] += f" on {', '.join(dict.fromkeys(study.device for study in group))}"
    facts.append(", ".join(dict.fromkeys(study.metric for study in group)))
    facts.append(", ".join(dict.fromkeys(study.provenance.get("label", "") for study in group)))
    st.caption("; ".join(facts) + f".{extra}{f' {first.note}' if first.note and len(group) == 1 else ''}")


def _search(study: Study, bench: Bench) -> None:
    """The best trial and the history, then one of the figures of settings."""
    dark, best = bench.dark, study.best
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=880):  # the settings beside it, or below it on a narrow page
            history = best_so_far(study)
            fig = drawn(("history", _mark(study), dark), lambda: search_history(study, dark=dark))
            exported(fig, history, f"{study.name}-history", "search_history")
        with st.container(width=330):
            if best is None:
                st.info("No trial ran to its end yet.", icon=":material/hourglass_empty:")
            else:
                st.markdown(f"**Best settings**, trial {best.number}: {100 * best.score:.2f} %")
                settings = [(spoken(name), value_text(value)) for name, value in best.params.items()]
                settings += [("run time", f"{best.seconds:.0f} s"), ("epochs", str(best.epochs))]
                st.table(
                    pd.DataFrame(settings, columns=["setting", "value"]),
                    hide_index=True,
                    hide_header=True,
                    border="horizontal",
                )
    _facts([study], f" Scores chose the settings; they say little of new {bench.unit}s.")
    if best is None:
        _trials(study)
        return
    kinds = {
        "pairs": "Two settings",
        "all": "All settings at once",
        "importance": "What mattered",
        "trials": "Every trial",
    }
    shown = choice("settings", "Settings", kinds, "pairs", "figure", hidden=True)
    if shown == "trials":
        _trials(study)
    elif shown == "importance":
        _importance(study, dark)
    elif shown == "all":
        names = varied(study)
        exported(
            drawn(("parallel", _mark(study), dark), lambda: parallel_settings(study, names, dark=dark)),
            trial_table(study),
            f"{study.name}-settings",
            "parallel_settings",
        )
        st.caption(
            "A line a trial. Drag along an axis to keep the lines that cross it there; drag a name to move its axis."
        )
    else:
        _pairs(study, dark)


def _pairs(study: Study, dark: bool) -> None:
    names = varied(study)
    if len(names) < 2:
        st.info("Two settings that vary make a map; this study varies fewer.", icon=":material/grid_on:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles = {name: f"across: {spoken(name)}" for name in names}
        across = choice("across", "Across", titles, names[0], "setting", box=True, width=220)
        others = {name: f"up: {spoken(name)}" for name in names if name != across}
        up = choice("up", "Up", others, next(iter(others)), "setting", box=True, width=220)
    table, _, _ = pair_table(study, across, up)
    data = table.rename(columns={"across": across, "up": up})
    fig = drawn(("pairs", _mark(study), across, up, dark), lambda: pair_heatmap(study, across, up, dark=dark))
    exported(fig, data, f"{study.name}-{across}-{up}", "pair_heatmap")
    st.caption(
        "Mean score (%) of the complete trials whose settings fall there; hover for how many they are. A search asks "
        "more often where it does well, so empty and single places say little."
    )


@st.cache_data(max_entries=32, show_spinner="Learning score from settings")
def _learnt(marks: tuple, _study: Study) -> Importance | None:
    return importance(_study)


def _importance(study: Study, dark: bool) -> None:
    found = _learnt(_mark(study), study)
    if found is None:
        st.info(
            f"{count(len(study.complete), 'complete trial')}: from {FEWEST} on, with scores that differ, it can be "
            "told which setting matters.",
            icon=":material/bar_chart:",
        )
        return
    data = pd.DataFrame({"setting": list(found.drop), "points": [100 * v for v in found.drop.values()]})
    exported(importance_bars(found, dark=dark), data, f"{study.name}-importance", "importance_bars")
    reach = (
        f"it foretells {100 * found.explained:.0f} % of the variance of scores it has not seen"
        if found.explained > 0
        else "it foretells nothing of scores it has not seen, so the bars say nothing either"
    )
    st.caption(
        f"Permutation importance: a random forest learns score from settings on four fifths of {found.trials} complete "
        f"trials and is asked about the rest, with each setting shuffled in turn; {reach}."
    )


def _trials(study: Study) -> None:
    table = trial_table(study)
    percent = st.column_config.NumberColumn(format="%.2f %%")
    st.dataframe(
        table,
        hide_index=True,
        height=min(480, 39 + 35 * len(table)),
        column_config={
            "number": st.column_config.NumberColumn("Trial", pinned=True, width="small"),
            "score": percent,
            "test": percent,
            "seconds": st.column_config.NumberColumn("run time", format="%.0f s"),
        },
        placeholder="–",
    )
    st.download_button(
        "Download these trials (CSV)",
        lambda: table.to_csv(index=False),
        f"hemalens-{study.name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _measure(known: Sequence[str]) -> str:
    """The measure to show; asked only where there are two."""
    if len(known) < 2:
        return known[0] if known else "score"
    return choice("measure", "Accuracy", {name: _MEASURES[name] for name in known}, known[0], "measure", hidden=True)


def _ablation(study: Study, bench: Bench) -> None:
    """What each variant gave against the base."""
    if not study.complete:
        st.info("No variant has been trained to its end yet.", icon=":material/hourglass_empty:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        labels = {label: f"against '{label}'" for label in study.by_label()}
        base = choice("base", "Against", labels, base_of(study), "variant", box=True)
        measure = _measure(measures(study))
    found = effects(study, measure, base)
    table = effect_table(found)
    key = ("effects", _mark(study), measure, base, bench.dark)
    fig = drawn(key, lambda: effect_dots(found, measure=_SHORT[measure], dark=bench.dark))
    exported(fig, table, study.name, "effect_dots")
    points = st.column_config.NumberColumn(format="%+.2f")
    st.dataframe(
        table,
        hide_index=True,
        height="content",
        column_config={
            "label": st.column_config.TextColumn("Variant", pinned=True),
            "mean": st.column_config.NumberColumn("Mean accuracy", format="%.2f %%"),
            "gain": st.column_config.NumberColumn("Gain (points)", format="%+.2f"),
            "low": st.column_config.NumberColumn("from", format="%+.2f", help="95 % interval over seeds (Welch's t)."),
            "high": points | {"label": "to"},
            "seeds": st.column_config.NumberColumn("Seeds"),
            "seconds": st.column_config.NumberColumn("One training", format="%.0f s"),
        },
        placeholder="–",
    )
    _facts(
        [study], " Filled dots: the interval leaves zero out; with so many variants one in twenty does so by chance."
    )


def _seeds(group: Sequence[Study], bench: Bench) -> None:
    """How far each recipe spreads over its seeds, the best first."""
    group = [study for study in group if study.complete]
    if not group:
        st.info("No training has run to its end yet.", icon=":material/hourglass_empty:")
        return
    known = [measure for measure in _MEASURES if all(measure in measures(study) for study in group)]
    measure = _measure(known)
    titles = {run.model: run.config["model"]["title"] for run in bench.every}
    spreads = [
        (f"{titles.get(study.model, study.model)}, {study.size} px", spread(study.complete, measure)) for study in group
    ]
    spreads.sort(key=lambda pair: -pair[1].mean)
    data = pd.DataFrame(
        [(name, seed, 100 * v) for name, one in spreads for seed, v in zip(one.seeds, one.values, strict=True)],
        columns=["model", "seed", "accuracy"],
    )
    key = ("seeds", _mark(*group), measure, tuple(name for name, _ in spreads), bench.dark)
    fig = drawn(key, lambda: seed_dots(spreads, measure=_SHORT[measure], dark=bench.dark))
    exported(fig, data, "seeds", "seed_dots")
    number = st.column_config.NumberColumn
    interval = "95 % interval of the mean (Student's t)."
    st.dataframe(
        spread_table(spreads),
        hide_index=True,
        height="content",
        column_config={
            "model": st.column_config.TextColumn("Model", pinned=True),
            "mean": number("Mean", format="%.2f %%"),
            "low": number("from", format="%.2f %%", help=interval),
            "high": number("to", format="%.2f %%", help=interval),
            "lowest": number("Lowest", format="%.2f %%"),
            "highest": number("Highest", format="%.2f %%"),
            "seeds": number("Seeds"),
            "seconds": st.column_config.NumberColumn("One training", format="%.0f s"),
        },
        placeholder="–",
    )
    _facts(group)
