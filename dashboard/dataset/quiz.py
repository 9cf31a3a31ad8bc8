"""Dataset as a quiz: one picture at a time, its classes to choose from, and the score by class."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.formatting import capitalized, percent
from core.inference.engine import EngineError
from core.inference.predictor import Predictor
from core.runs import Run, best_run
from dashboard import cache, samples
from dashboard.charts import show_figure
from dashboard.dataset import DatasetContext, missing_images
from dashboard.page import view
from dashboard.pictures import enlarge
from dashboard.style import class_colours, finish, ground, option_label, rows_axis

ROUNDS = 2  # a block asks every class so often: balanced, yet nobody can tell the last ones of a block


@dataclass(frozen=True)
class QuizAnswer:
    """One question that was answered: the picture's ``label``, what was ``said``, what a model said (None: nothing)."""

    label: int
    said: int
    model: int | None = None

    @property
    def right(self) -> bool:
        """Whether it names the class."""
        return self.label == self.said


@dataclass
class Quiz:
    """Questions in their order, each a (label, picture's row), and the answers to the first of them."""

    questions: list[tuple[int, int]]
    answers: list[QuizAnswer] = field(default_factory=list)
    number: int = 0  # of the question that is shown, from 0

    @property
    def question(self) -> tuple[int, int] | None:
        """The label and the row of the picture shown; None after the last."""
        return self.questions[self.number] if self.number < len(self.questions) else None

    @property
    def answer(self) -> QuizAnswer | None:
        """The answer to the picture shown; None while it waits for one."""
        return self.answers[self.number] if self.number < len(self.answers) else None

    def say(self, label: int, model: int | None = None) -> None:
        """Answer the picture shown; a second answer to it changes nothing."""
        if self.question is not None and self.answer is None:
            self.answers.append(QuizAnswer(self.question[0], label, model))

    def go_on(self) -> None:
        """Show the next picture, once this one is answered."""
        if self.answer is not None:
            self.number += 1

    @property
    def right(self) -> int:
        """How many questions were answered rightly."""
        return sum(answer.right for answer in self.answers)

    def compared(self) -> tuple[int, int, int]:
        """Of the questions that a model answered too: how many, how many the person had right, how many the model."""
        both = [answer for answer in self.answers if answer.model is not None]
        return len(both), sum(a.right for a in both), sum(a.model == a.label for a in both)


def start_quiz(labels: np.ndarray, asked: Sequence[int], seed: int) -> Quiz:
    """A quiz over pictures with ``labels`` (N,) of the classes ``asked`` (indices), the same for the same seed.

    Classes come equally often as long as all have pictures left; no picture comes twice.
    """
    rng = np.random.default_rng(seed)
    left = {label: list(rng.permutation(np.flatnonzero(labels == label))) for label in asked}
    questions: list[tuple[int, int]] = []
    while any(left.values()):
        block = [(label, int(left[label].pop())) for label in asked for _ in range(min(ROUNDS, len(left[label])))]
        questions += [block[i] for i in rng.permutation(len(block))]
    return Quiz(questions)


def score_table(quiz: Quiz, codes: Sequence[str]) -> pd.DataFrame:
    """A row a class that was asked: class, asked, right, and what it was most often taken for ('' for nothing)."""
    rows = []
    for label, code in enumerate(codes):
        of_it = [a for a in quiz.answers if a.label == label]
        if of_it:
            wrong = [a.said for a in of_it if not a.right]
            mistaken = codes[max(set(wrong), key=lambda s: (wrong.count(s), -s))] if wrong else ""
            rows.append((code, len(of_it), sum(a.right for a in of_it), mistaken))
    return pd.DataFrame(rows, columns=["class", "asked", "right", "taken for"])


def quiz_bars(
    table: pd.DataFrame, codes: Sequence[str], names: Mapping[str, str], *, title: str, dark: bool = False
) -> go.Figure:
    """A bar a class asked: what was named right in its colour, the rest of what was asked as an empty frame.

    ``table`` is `score_table`'s; ``codes`` are all classes of the data set, which give the colours.
    """
    colours, base = class_colours(codes, dark), ground(dark)
    rows = [f"{code}  {names[code]}" for code in table["class"]]
    own = [colours[code] for code in table["class"]]
    fig = go.Figure()
    fig.add_bar(x=table["right"], y=rows, orientation="h", marker={"color": own}, hoverinfo="skip")
    fig.add_bar(
        x=table["asked"] - table["right"],
        y=rows,
        orientation="h",
        marker={"color": base["panel"], "line": {"color": own, "width": 1}},
        text=[
            f"{r.right} of {r.asked}" + (f", taken for {missed}" if (missed := r[4]) else "")
            for r in table.itertuples()
        ],
        textposition="outside",
        textfont={"color": base["text"]},
        cliponaxis=False,
        hoverinfo="skip",
    )
    finish(fig, title=title, height=110 + 32 * len(table), dark=dark)
    most = int(table["asked"].max()) if len(table) else 1
    fig.update_layout(barmode="stack", bargap=0.35, showlegend=False)
    fig.update_xaxes(title_text="pictures", range=[0, 1.7 * most], dtick=max(1, -(-most // 5)), fixedrange=True)
    rows_axis(fig, dark)
    return fig


SPLIT = "test"  # no model has learnt from it, so that a person and a model stand alike
_SIDE = 384
_QUIZ = "_quiz"  # (what it is about, the quiz)
_ASKED = "asked"


@view(":material/quiz: Quiz", order=40)
def render(context: DatasetContext) -> None:
    """Ask, tell what is right and why, keep the score."""
    missing_images(context)
    if context.loaded is None and not context.has_placeholders:
        return
    asked = _settings(context)
    if len(asked) < 2:
        st.info("Choose two classes or more to be asked about.", icon=":material/quiz:")
        return
    game = _game(context, asked)
    if game.question is None:
        st.info(
            f"These were all {context.spec.unit}s of {SPLIT}. Start again for another order.", icon=":material/flag:"
        )
    else:
        _question(context, game, asked)
    if game.answers:
        _score(context, game)


def _settings(context: DatasetContext) -> list[str]:
    """The classes to be asked about, and the way to start again."""
    codes, names = list(context.spec.codes), context.spec.names
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Which class is this?**", width="content")
        with st.popover("Classes", icon=":material/tune:", help="Practise on some classes only"):
            chosen = st.pills(
                "Asked about", codes, selection_mode="multi", default=codes, key=f"{_ASKED}-{context.name}",
                format_func=lambda c: option_label(f"{c} {names.get(c, '')}"),
            )  # fmt: skip
        st.button("Start again", icon=":material/restart_alt:", on_click=_forget, type="tertiary")
    return [code for code in codes if code in (chosen or [])]


def _forget() -> None:
    st.session_state.pop(_QUIZ, None)


def _game(context: DatasetContext, asked: list[str]) -> Quiz:
    """This visitor's quiz about this data set and these classes; another one begins anew."""
    about = (context.name, context.size, context.content, tuple(asked))
    previous = st.session_state.get(_QUIZ)
    if previous is None or previous[0] != about:
        seed = secrets.randbits(32)
        every = range(len(context.spec.codes))
        labels = context.loaded[SPLIT].labels if context.loaded else np.repeat(every, samples.PLACEHOLDERS_PER_PAGE)
        previous = (about, start_quiz(labels, [context.spec.codes.index(c) for c in asked], seed))
        st.session_state[_QUIZ] = previous
    return previous[1]


def _question(context: DatasetContext, game: Quiz, asked: list[str]) -> None:
    assert game.question is not None  # after the last the score is shown
    label, row = game.question
    image = _picture(context, label, row)
    halves = st.grid(2, min_column_width=380, gap="medium")
    with halves.container():
        st.image(enlarge(image, _SIDE), width=_SIDE, alt=f"the {context.spec.unit} to be named")
        source = (
            f"{context.loaded.provenance.label}, {SPLIT}"
            if context.loaded
            else f"**{samples.placeholder_label(context.spec)}**"
        )
        st.caption(f"Number {game.number + 1} · {image.shape[0]} px · {source}")
    with halves.container():
        if game.answer is None:
            _choices(context, game, image, asked)
        else:
            _solution(context, game, game.answer, row)


def _picture(context: DatasetContext, label: int, row: int) -> np.ndarray:
    if context.loaded is not None:
        return context.loaded[SPLIT].images[row]
    return samples.placeholder_cells(
        context.spec, context.size, context.spec.codes[label], samples.PLACEHOLDERS_PER_PAGE
    )[row % samples.PLACEHOLDERS_PER_PAGE]


def _choices(context: DatasetContext, game: Quiz, image: np.ndarray, asked: list[str]) -> None:
    """A button a class; the first nine have a number key."""
    model = _model(context)

    def say(code: str) -> None:
        said = _model_probabilities(model, image) if model is not None else None
        game.say(context.spec.codes.index(code), None if said is None else int(said.argmax()))
        st.session_state["_quiz_model"] = None if model is None or said is None else (model.title, said)

    with st.grid(2, min_column_width=180, gap="small"):
        for number, code in enumerate(asked, 1):
            st.button(
                f"{code}  {context.of(code).name}",
                key=f"quiz-{code}",
                on_click=say,
                args=(code,),
                width="stretch",
                shortcut=str(number) if number < 10 else None,
            )
    st.caption("A click, or the number key.")


def _model(context: DatasetContext) -> Run | None:
    """The model that answers beside the person: the default one of this data set and size; none for drawn cells."""
    if context.loaded is None:
        return None
    runs = [
        run
        for run in cache.runs(context.name)
        if run.size == context.size and run.codes == context.spec.codes and run.scheme in ("", context.scheme)
    ]
    return best_run(runs)


def _model_probabilities(run: Run, image: np.ndarray) -> np.ndarray | None:
    """The model's probabilities (C,); None where it can't answer, which spoils no quiz."""
    try:
        return Predictor(run).predict_crops(image[None]).probabilities[0]
    except EngineError:
        return None


def _solution(context: DatasetContext, game: Quiz, answer: QuizAnswer, row: int) -> None:
    """Right or wrong, what the textbook says of the classes, what the model says, and on to the next."""
    truth, said = (context.spec.classes[i] for i in (answer.label, answer.said))
    if answer.right:
        st.success(f"Right: **{truth.code}** {truth.name}.", icon=":material/check_circle:")
    else:
        st.error(
            f"You said {said.code} {said.name}. It is labelled **{truth.code}** {truth.name}.", icon=":material/cancel:"
        )
    st.markdown(f"**{capitalized(truth.name)}**: {truth.description}")
    if not answer.right:
        st.markdown(f"**{capitalized(said.name)}**: {said.description}")
    model = st.session_state.get("_quiz_model")
    if model is not None:
        title, probabilities = model
        winner = context.spec.classes[int(probabilities.argmax())]
        verdict = "right" if winner.code == truth.code else "wrong"
        st.markdown(f":material/smart_toy: {title} says {winner.code}, {percent(probabilities.max())}: {verdict}.")
    if context.loaded is not None:
        st.caption(f"{context.spec.unit} {context.loaded[SPLIT].ids[row]}")
    st.button("Next", type="primary", icon=":material/arrow_forward:", on_click=game.go_on, shortcut="Enter")


def _score(context: DatasetContext, game: Quiz) -> None:
    names = context.spec.names
    table = score_table(game, context.spec.codes)
    total = len(game.answers)
    st.header("Your score", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=760):
            title = f"{game.right} of {total} named right"
            fig = quiz_bars(table, context.spec.codes, names, title=title, dark=context.dark)
            show_figure(fig, table, f"{context.name}-quiz", "quiz_score")
        with st.container(width=300, horizontal=True, gap="large"):
            st.metric("You", f"{100 * game.right / total:.0f} %", help=f"{game.right} of {total}")
            both, you, model = game.compared()
            if both:
                st.metric("The model", f"{100 * model / both:.0f} %", help=f"{model} of the same {both}; you {you}")
            balanced = (table["right"] / table["asked"]).mean()
            st.metric(
                "Balanced", f"{100 * balanced:.0f} %", help="Mean over the classes of the share that you named right."
            )
