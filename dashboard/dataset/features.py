"""Dataset, to learn from: what uneven classes mean for accuracy, and which number of a picture tells classes apart."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import LoadedDataset, get_dataset
from core.datasets import statistics as texture
from core.datasets.statistics import FEATURES, Feature, Imbalance, Summary, TextureStatistics, measure_imbalance
from core.evaluation.metrics import pairwise_auroc
from core.formatting import capitalized, exact_percent
from dashboard import cache
from dashboard.charts import cached_figure, show_figure
from dashboard.dataset import DatasetContext, missing_images, statistics_folder
from dashboard.page import view
from dashboard.style import LEGEND_ABOVE, PRIMARY, class_colours, end_labels, error_bar, finish, ground, rows_axis
from dashboard.url_state import choice, linked


def feature_statistics(
    name: str, size: int, loaded: LoadedDataset | None
) -> tuple[TextureStatistics | None, str | None]:
    """The features to show, and a sentence where they are not those of just these pictures.

    Stored ones where they were measured on the same build, else measured now; without images those stored for this
    size, else for the nearest.
    """
    stored = _stored(name, size)
    if loaded is not None:
        content = loaded.provenance.content_hash
        if stored is not None and stored.provenance.content_hash == content:
            return stored, None
        return _measured(name, size, content, loaded.scheme), None
    sizes = sorted(get_dataset(name).sizes, key=lambda other: abs(other - size))
    nearest_stored = next(filter(None, (_stored(name, other) for other in sizes)), None)
    if nearest_stored is None or nearest_stored.size == size:
        return nearest_stored, None
    return nearest_stored, f"Measured at {nearest_stored.size} px: texture depends on the size."


@st.cache_resource(max_entries=16, show_spinner=False)
def _stored(name: str, size: int) -> TextureStatistics | None:
    return texture.load_texture(name, size)


@st.cache_resource(max_entries=4, show_spinner="Measuring brightness and texture")
def _measured(name: str, size: int, content: str, scheme: str) -> TextureStatistics:
    folder = statistics_folder(content)
    statistics = texture.load_texture(name, size, folder)
    if statistics is None:
        statistics = texture.measure_texture(cache.dataset_images(name, size, scheme=scheme))
        with suppress(OSError):
            texture.save_texture(statistics, folder)
    return statistics


def feature_values(statistics: TextureStatistics, codes: Sequence[str], key: str, split: str) -> dict[str, np.ndarray]:
    """The values of a feature by class, of the classes that have any in the split."""
    by_class = {code: statistics.values_of(code, key, split) for code in codes}
    return {code: some for code, some in by_class.items() if len(some)}


def feature_ranking(statistics: TextureStatistics, codes: Sequence[str], split: str) -> pd.DataFrame:
    """How well each feature alone tells the classes ``codes`` apart, the best first; empty for fewer than two.

    Columns: feature (its key), title, mean (over the pairs of classes: the chance, .5 to 1, that the feature puts two
    pictures, one of each class, in the right order), best and worst (of a pair), best_pair and worst_pair (codes).
    """
    rows = []
    for feature in FEATURES:
        pairs = pairwise_auroc(feature_values(statistics, codes, feature.key, split))
        if pairs:
            best, worst = max(pairs, key=lambda p: pairs[p]), min(pairs, key=lambda p: pairs[p])
            mean = float(np.mean(list(pairs.values())))
            rows.append((feature.key, feature.title, mean, pairs[best], pairs[worst], best, worst))
    columns = ["feature", "title", "mean", "best", "worst", "best_pair", "worst_pair"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


BINS = 36
GRID = 200  # points of a density's curve
FEWEST = 5  # values for which a density says anything
_MARKS = ("circle", "diamond", "square")
_DASHES = ("solid", "dash", "dot", "dashdot")


def class_shares(
    counts: Mapping[str, np.ndarray],
    codes: Sequence[str],
    names: Mapping[str, str],
    split: str,
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """Each class's share of ``split`` as a bar, that of the other splits as a mark, and a line where all were even.

    ``counts`` (C,) by split, in the order of ``codes``; ``names`` gives each code's class name.
    """
    colours, base = class_colours(codes, dark), ground(dark)
    rows = [f"{code}  {names[code]}" for code in codes]
    shares = {s: 100 * n / max(n.sum(), 1) for s, n in counts.items()}
    fig = go.Figure()
    fig.add_bar(
        x=shares[split],
        y=rows,
        orientation="h",
        name=split,
        marker={"color": [colours[code] for code in codes]},
        customdata=counts[split],
        hovertemplate=f"%{{y}}<br>{split}: %{{customdata:,}} {unit}s, %{{x:.1f}} %<extra></extra>",
        showlegend=False,
    )
    others = [s for s in counts if s != split]
    for symbol, other in zip(_MARKS, others, strict=False):
        fig.add_scatter(
            x=shares[other],
            y=rows,
            mode="markers",
            name=other,
            marker={
                "symbol": symbol,
                "size": 9,
                "color": base["background"],
                "line": {"color": base["text"], "width": 2},
            },
            customdata=counts[other],
            hovertemplate=f"%{{y}}<br>{other}: %{{customdata:,}} {unit}s, %{{x:.1f}} %<extra></extra>",
        )
    end_labels(fig, np.max(list(shares.values()), axis=0), rows, [f"   {share:.1f} %" for share in shares[split]], dark)
    even = 100 / max(int(np.count_nonzero(counts[split])), 1)
    fig.add_vline(x=even, line={"color": base["quiet"], "width": 1, "dash": "dash"})
    fig.add_annotation(
        x=even, y=1, yref="paper", yanchor="bottom", text=f"even: {even:.1f} %", showarrow=False,
        font={"color": base["quiet"], "size": 13},
    )  # fmt: skip
    finish(fig, title=title, height=150 + 34 * len(codes), dark=dark)
    fig.update_layout(bargap=0.35, margin={"t": 76}, legend={"y": -0.14, "yanchor": "top"})
    highest = max(float(share.max(initial=0)) for share in shares.values())
    fig.update_xaxes(title_text=f"share of {split}, %", range=[0, 1.18 * highest], fixedrange=True)
    rows_axis(fig, dark)
    return fig


def separation_dots(
    table: pd.DataFrame, chosen: str, *, title: str, dark: bool = False, height: int = 380
) -> go.Figure:
    """How well each feature tells classes apart: a dot for the mean over pairs, a line from the worst to the best pair.

    ``table`` is `feature_ranking`'s; the ``chosen`` feature (its key) is filled. Each mark's custom data is
    (key, best pair, worst pair), for clicks.
    """
    base, colour = ground(dark), PRIMARY[dark]
    keys = table["feature"]
    rows = [f"<b>{name}</b>" if key == chosen else name for key, name in zip(keys, table["title"], strict=True)]
    pairs = ([" and ".join(pair) for pair in table[column]] for column in ("best_pair", "worst_pair"))
    said = [list(row) for row in zip(keys, *pairs, strict=True)]
    mean, best, worst = (100 * table[column] for column in ("mean", "best", "worst"))
    fig = go.Figure()
    fig.add_scatter(
        x=mean,
        y=rows,
        mode="markers+text",
        error_x=error_bar(mean, worst, best, base["quiet"], thickness=1.5),
        marker={
            "size": 15,
            "color": [colour if f == chosen else base["background"] for f in table["feature"]],
            "line": {"color": colour, "width": 2},
        },
        text=[f"{value:.0f} %" for value in mean],
        textposition="top center",
        textfont={"color": base["text"]},
        cliponaxis=False,
        selected={"marker": {"opacity": 1}, "textfont": {"color": base["text"]}},
        unselected={"marker": {"opacity": 1}, "textfont": {"color": base["text"]}},
        customdata=said,
        hovertemplate="%{y}: right for %{x:.1f} % of pairs<br>best for %{customdata[1]}, worst for %{customdata[2]}"
        "<extra></extra>",
        showlegend=False,
    )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_xaxes(
        title_text="pairs put in the right order, % (50 is chance)", range=[47, 103], tickvals=[50, 60, 70, 80, 90, 100]
    )
    fig.update_xaxes(fixedrange=True)
    rows_axis(fig, dark, showgrid=True)
    return fig


def distribution(
    values: Mapping[str, np.ndarray],
    feature: Feature,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
    height: int = 380,
) -> go.Figure:
    """Histogram and density of one ``feature``'s ``values`` (n,) by class, over bins that all classes share.

    ``codes`` are all classes of the data set (they give the colours), ``names`` their names. The densities are
    Gaussian kernel estimates (Scott's rule), in the unit of the bars: % of the class's pictures a bin.
    """
    colours = class_colours(codes, dark)
    together = np.concatenate([np.asarray(v, float) for v in values.values()] or [np.zeros(1)])
    low, high = (float(edge) for edge in (together.min(), together.max()))
    if high - low < 1e-9:  # all the same: one bin around it
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    width = edges[1] - edges[0]
    fig = go.Figure()
    for number, (code, some) in enumerate(values.items()):
        name = f"{code}  {names[code]}"
        share = 100 * np.histogram(some, edges)[0] / max(len(some), 1)
        fig.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=share,
            width=width,
            name=name,
            legendgroup=code,
            showlegend=False,
            opacity=0.32,
            marker={"color": colours[code], "line": {"width": 0}},
            hovertemplate=f"{code}, %{{x:.4g}}: %{{y:.1f}} % of {len(some):,}<extra></extra>",
        )
        grid, height_of = density(some, low, high)
        fig.add_scatter(
            x=grid,
            y=100 * width * height_of,
            mode="lines",
            name=name,
            legendgroup=code,
            line={"color": colours[code], "width": 2.5, "dash": _DASHES[number % len(_DASHES)]},
            hoverinfo="skip",
        )
    finish(fig, title=title, height=height, dark=dark)
    fig.update_layout(LEGEND_ABOVE, barmode="overlay")
    fig.update_xaxes(title_text=capitalized(feature.axis), showgrid=False)
    fig.update_yaxes(title_text=f"% of the class's {unit}s", rangemode="tozero")
    return fig


def density(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel estimate of ``values`` (n,) at `GRID` places from ``low`` to ``high``: (places, heights).

    Both are empty where there are too few values, or all are the same.
    """
    from scipy.stats import gaussian_kde

    values = np.asarray(values, float)
    if len(values) < FEWEST or np.ptp(values) < 1e-9 * max(1.0, abs(float(values[0]))):
        return np.empty(0), np.empty(0)
    grid = np.linspace(low, high, GRID)
    return grid, gaussian_kde(values)(grid)


MOST_CLASSES = 4
_BY_KEY = {feature.key: feature for feature in FEATURES}


@view(":material/school: Learn", order=20, key="learn", needs=("split",))
def render(context: DatasetContext) -> None:
    """How common the classes are, then the features of their pictures."""
    if context.summary is not None:
        _class_shares_section(context, context.summary)
    st.header("What brightness, texture and size tell", anchor=False)
    statistics, note = feature_statistics(context.name, context.size, context.loaded)
    if statistics is None:
        missing_images(context, placeholders_shown=False)
        st.info(
            "Brightness and texture are measured on the pictures, which are not on this computer at "
            f"{context.size} px.",
            icon=":material/hide_image:",
        )
        return
    _features_section(context, statistics, note)


# ---------------------------------------------------------------- how common the classes are
def _class_shares_section(context: DatasetContext, summary: Summary) -> None:
    st.header("How common the classes are", anchor=False)
    counts = summary.counts
    balance = measure_imbalance(summary.codes, counts[context.split])
    if balance is None:
        st.info(f"{context.split} holds fewer than two classes: choose another split.", icon=":material/info:")
        return
    names = context.spec.names
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        fig = class_shares(
            counts, summary.codes, names, context.split,
            title=_share_title(context, balance), unit=context.spec.unit, dark=context.dark,
        )  # fmt: skip
        table = pd.DataFrame({"class": summary.codes} | dict(counts))
        show_figure(fig, table, f"{context.name}-classes", "class_shares")
    with columns.container():
        _accuracy_explained(context, balance)
        st.caption(_across_splits(context, summary))


def _share_title(context: DatasetContext, balance: Imbalance) -> str:
    most, least = context.plural_of(balance.majority), context.plural_of(balance.rarest)
    if balance.is_balanced:
        return "Every class is equally common"
    return f"{capitalized(most)} are {balance.ratio:.1f} times as common as {least}"


def _accuracy_explained(context: DatasetContext, balance: Imbalance) -> None:
    """What the shares mean for accuracy, in words and in numbers that anyone can check."""
    unit, classes = context.spec.unit, len(balance.codes)
    most, least = context.plural_of(balance.majority), context.plural_of(balance.rarest)
    plain = [_percent(p) for p in (balance.majority_accuracy, balance.accuracy_without_rarest)]
    balanced = [_percent(p) for p in (balance.majority_balanced_accuracy, balance.balanced_accuracy_without_rarest)]
    st.markdown("**What this means for accuracy**")
    st.markdown(
        f"- Whoever calls every {unit} _{context.of(balance.majority).name}_ without looking is right for "
        f"**{plain[0]}** of {context.split}, and finds none of the other {classes - 1} classes. An accuracy says "
        "something only beside this figure.\n"
        f"- Whoever names everything right but never finds {least} still reaches **{plain[1]}** accuracy: they are "
        f"only {_percent(1 - balance.accuracy_without_rarest)} of all.\n"
        f"- **Balanced accuracy** is the mean of the shares found of each class: all {classes} classes count alike. "
        f"The same two get **{balanced[0]}** and **{balanced[1]}**."
    )
    if balance.is_balanced:
        st.markdown("Here all classes are about equally common: accuracy and balanced accuracy say nearly the same.")
    else:
        st.markdown(
            f"One {unit} of the rarest class moves the balanced accuracy {balance.ratio:.1f} times as far as one of "
            f"the commonest; in plain accuracy, {most} count {balance.ratio:.1f} times as much as {least} together. A "
            f"rare class has fewer {unit}s to learn from, too: look at its own sensitivity, and at its interval."
        )


def _across_splits(context: DatasetContext, summary: Summary) -> str:
    shares = {s: n / max(n.sum(), 1) for s, n in summary.counts.items() if n.sum()}
    apart = 100 * max(float(abs(one - other).max()) for one in shares.values() for other in shares.values())
    sizes = ", ".join(f"{s} {int(n.sum()):,}" for s, n in summary.counts.items())
    tail = "the mix of classes is the same in all of them" if apart < 0.5 else (
        f"a class's share differs by up to {apart:.1f} points between them"
    )  # fmt: skip
    return f"{sizes} {context.spec.unit}s; {tail}. Counted in: {summary.provenance.label}."


# ---------------------------------------------------------------- features by class
def _features_section(context: DatasetContext, statistics: TextureStatistics, note: str | None) -> None:
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        codes = _class_choice(context, statistics)
    table = feature_ranking(statistics, codes, context.split)
    if table.empty:
        st.info("Choose two to four classes, and what tells them apart appears here.", icon=":material/compare:")
        return
    with row:
        titles = {key: _BY_KEY[key].title for key in table["feature"]}
        key = choice("feature", "Feature", titles, table["feature"][0], "feature", box=True, hidden=False, width=240)
    st.markdown(_finding(context, table))
    feature, names = _BY_KEY[key], context.spec.names
    by_class = feature_values(statistics, codes, key, context.split)
    mark = (
        statistics.provenance.content_hash,
        statistics.size,
        context.split,
        tuple(codes),
        context.spec.unit,
        context.dark,
    )
    columns = st.grid(2, min_column_width=430, gap="medium")
    with columns.container():
        title = "How well each number alone tells them apart"
        fig = cached_figure(
            ("separation", key, *mark), lambda: separation_dots(table, key, title=title, dark=context.dark)
        )
        chart = f"separation-{key}-{'-'.join(codes)}-{context.split}"
        show_figure(
            fig, table.drop(columns="feature"), f"{context.name}-features", chart,
            on_select=lambda: _feature_chosen(chart), selection_mode="points",
        )  # fmt: skip
    with columns.container():
        fig = cached_figure(
            ("distribution", key, *mark),
            lambda: distribution(
                by_class, feature, statistics.codes, names, title=f"{feature.title} by class", unit=context.spec.unit,
                dark=context.dark,
            ),
        )  # fmt: skip
        long = [(c, v) for c, some in by_class.items() for v in some]
        show_figure(fig, pd.DataFrame(long, columns=["class", key]), f"{context.name}-{key}", f"distribution-{key}")
    counted = ", ".join(f"{c} {len(some):,}" for c, some in by_class.items())
    st.caption(
        f"**{feature.title}**: {feature.meaning} {_how_measured(key, statistics)} Measured on {counted} "
        f"{context.spec.unit}s of {context.split}, {statistics.provenance.label}. Curves are kernel "
        f"densities. {note or ''}"
    )


def _class_choice(context: DatasetContext, statistics: TextureStatistics) -> list[str]:
    """The classes to compare: chosen, or the one looked at with its two nearest."""
    options = [code for code in context.spec.codes if code in statistics.codes]
    near = [c for c, _ in context.summary.neighbours(context.code)] if context.summary else options
    first = list(dict.fromkeys(c for c in (context.code, *near, *options) if c in options))[:3]
    if not set(st.session_state.get("among") or options) & set(options):  # those of the data set before
        del st.session_state["among"]
    titles = {code: f"{code} {name}" for code, name in context.spec.names.items()}
    with linked("among", options, first, "class", many=True, most=MOST_CLASSES):
        st.multiselect(
            "Compare the classes",
            options,
            key="among",
            max_selections=MOST_CLASSES,
            format_func=lambda code: titles[code],
            width=560,
        )
    return [code for code in options if code in st.session_state["among"]]


def _feature_chosen(chart: str) -> None:
    """A click on a dot chooses its feature."""
    points = st.session_state[chart].selection.points
    if points and "customdata" in points[0]:
        st.session_state["feature"] = points[0]["customdata"][0]


def _finding(context: DatasetContext, table: pd.DataFrame) -> str:
    """Which feature tells the classes apart best, and how far that gets."""
    best, unit = table.iloc[0], context.spec.unit
    one, other = (context.plural_of(code) for code in best["best_pair"])
    text = (
        f"Of these seven numbers **{best['title'].lower()}** tells them apart best: of two {unit}s, one of each class, "
        f"it puts **{_percent(best['mean'])}** in the right order"
    )
    if best["best_pair"] != best["worst_pair"]:
        text += (
            f" on average, {_percent(best['best'])} for {one} and {other}, but {_percent(best['worst'])} for "
            f"{' and '.join(context.plural_of(code) for code in best['worst_pair'])}"
        )
    verdict = "one number nearly suffices" if best["worst"] > 0.95 else "no single number suffices"
    return f"{text} (50 % is chance): {verdict}."


def _how_measured(key: str, statistics: TextureStatistics) -> str:
    if key == "brightness":
        return "Mean of the grey values, 0 to 255."
    if key == "size":
        return "Share of the pixels at or below the grey value that parts each picture best into dark and light (Otsu)."
    return (
        "From the pairs of neighbouring pixels in 16 grey levels (co-occurrence matrix), mean of four directions, at "
        f"{statistics.size} px."
    )


def _percent(share: float) -> str:
    return exact_percent(share).replace(" ", "\N{NO-BREAK SPACE}")
