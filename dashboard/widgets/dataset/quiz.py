"""Dataset as a quiz: one picture at a time, its classes to choose from, and the score by class."""

import secrets

import numpy as np
import streamlit as st

from core.runs import Run, best_run
from core.serving.engine import EngineError
from core.serving.predict import classify
from core.serving.wording import percent, sentence_case
from dashboard import catalogue, stand_in
from dashboard import quiz as quizzes
from dashboard.figures.quiz import quiz_bars
from dashboard.quiz import Quiz
from dashboard.widgets.dataset.missing import missing_images
from dashboard.widgets.dataset.view import View
from dashboard.widgets.export import exported
from dashboard.widgets.pictures import enlarge

SPLIT = "test"  # no model has learnt from it, so that a person and a model stand alike
_SIDE = 384
_QUIZ = "_quiz"  # (what it is about, the quiz)
_ASKED = "asked"


def quiz(view: View) -> None:
    """Ask, tell what is right and why, keep the score."""
    missing_images(view)
    if view.loaded is None and not view.can_stand_in:
        return
    asked = _settings(view)
    if len(asked) < 2:
        st.info("Choose two classes or more to be asked about.", icon=":material/quiz:")
        return
    game = _game(view, asked)
    if game.question is None:
        st.info(f"These were all {view.spec.unit}s of {SPLIT}. Start again for another order.", icon=":material/flag:")
    else:
        _question(view, game, asked)
    if game.answers:
        _score(view, game)


def _settings(view: View) -> list[str]:
    """The classes to be asked about, and the way to start again."""
    codes, names = list(view.spec.codes), {c.code: c.name for c in view.spec.classes}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**Which class is this?**", width="content")
        with st.popover("Classes", icon=":material/tune:", help="Practise on some classes only"):
            chosen = st.pills(
                "Asked about", codes, selection_mode="multi", default=codes, key=f"{_ASKED}-{view.name}",
                format_func=lambda c: f"{c} {names.get(c, '')}",
            )  # fmt: skip
        st.button("Start again", icon=":material/restart_alt:", on_click=_forget, type="tertiary")
    return [code for code in codes if code in (chosen or [])]


def _forget() -> None:
    st.session_state.pop(_QUIZ, None)


def _game(view: View, asked: list[str]) -> Quiz:
    """This visitor's quiz about this data set and these classes; another one begins anew."""
    about = (view.name, view.size, view.content, tuple(asked))
    kept = st.session_state.get(_QUIZ)
    if kept is None or kept[0] != about:
        seed = secrets.randbits(32)
        every = range(len(view.spec.codes))
        labels = view.loaded[SPLIT].labels if view.loaded else np.repeat(every, stand_in.PAGE)
        kept = (about, quizzes.start(labels, [view.spec.codes.index(c) for c in asked], seed))
        st.session_state[_QUIZ] = kept
    return kept[1]


def _question(view: View, game: Quiz, asked: list[str]) -> None:
    label, row = game.question
    image = _picture(view, label, row)
    halves = st.grid(2, min_column_width=380, gap="medium")
    with halves.container():
        st.image(enlarge(image, _SIDE), width=_SIDE, alt=f"the {view.spec.unit} to be named")
        source = f"{view.loaded.provenance.label}, {SPLIT}" if view.loaded else f"**{stand_in.label(view.spec)}**"
        st.caption(f"Number {game.number + 1} · {image.shape[0]} px · {source}")
    with halves.container():
        if game.answer is None:
            _choices(view, game, image, asked)
        else:
            _told(view, game)


def _picture(view: View, label: int, row: int) -> np.ndarray:
    if view.loaded is not None:
        return view.loaded[SPLIT].images[row]
    return stand_in.cells(view.spec, view.size, view.spec.codes[label], stand_in.PAGE)[row % stand_in.PAGE]


def _choices(view: View, game: Quiz, image: np.ndarray, asked: list[str]) -> None:
    """A button a class; the first nine have a number key."""
    model = _model(view)

    def say(code: str) -> None:
        said = _model_says(model, image) if model is not None else None
        game.say(view.spec.codes.index(code), None if said is None else int(said.argmax()))
        st.session_state["_quiz_model"] = None if said is None else (model.title, said)

    with st.grid(2, min_column_width=180, gap="small"):
        for number, code in enumerate(asked, 1):
            st.button(
                f"{code}  {view.of(code).name}",
                key=f"quiz-{code}",
                on_click=say,
                args=(code,),
                width="stretch",
                shortcut=str(number) if number < 10 else None,
            )
    st.caption("A click, or the number key.")


def _model(view: View) -> Run | None:
    """The model that answers beside the person: the default one of this data set and size; none for drawn cells."""
    if view.loaded is None:
        return None
    runs = [
        run
        for run in catalogue.runs(view.name)
        if run.size == view.size and run.codes == view.spec.codes and run.scheme in ("", view.scheme)
    ]
    return best_run(runs)


def _model_says(run: Run, image: np.ndarray) -> np.ndarray | None:
    """The model's probabilities (C,); None where it can't answer, which spoils no quiz."""
    try:
        return classify(image[None], run).probabilities[0]
    except EngineError:
        return None


def _told(view: View, game: Quiz) -> None:
    """Right or wrong, what the textbook says of the classes, what the model says, and on to the next."""
    answer = game.answer
    truth, said = (view.spec.classes[i] for i in (answer.label, answer.said))
    if answer.right:
        st.success(f"Right: **{truth.code}** {truth.name}.", icon=":material/check_circle:")
    else:
        st.error(
            f"You said {said.code} {said.name}. It is labelled **{truth.code}** {truth.name}.", icon=":material/cancel:"
        )
    st.markdown(f"**{sentence_case(truth.name)}**: {truth.description}")
    if not answer.right:
        st.markdown(f"**{sentence_case(said.name)}**: {said.description}")
    model = st.session_state.get("_quiz_model")
    if model is not None:
        title, probabilities = model
        winner = view.spec.classes[int(probabilities.argmax())]
        verdict = "right" if winner.code == truth.code else "wrong"
        st.markdown(f":material/smart_toy: {title} says {winner.code}, {percent(probabilities.max())}: {verdict}.")
    if view.loaded is not None:
        st.caption(f"{view.spec.unit} {view.loaded[SPLIT].ids[game.question[1]]}")
    st.button("Next", type="primary", icon=":material/arrow_forward:", on_click=game.go_on, shortcut="Enter")


def _score(view: View, game: Quiz) -> None:
    names = {c.code: c.name for c in view.spec.classes}
    table = quizzes.score(game, view.spec.codes)
    total = len(game.answers)
    st.subheader("Your score", anchor=False)
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=760):
            title = f"{game.right} of {total} named right"
            fig = quiz_bars(table, view.spec.codes, names, title=title, dark=view.dark)
            exported(fig, table, f"{view.name}-quiz", "quiz_score")
        with st.container(width=300, horizontal=True, gap="large"):
            st.metric("You", f"{100 * game.right / total:.0f} %", help=f"{game.right} of {total}")
            both, you, model = game.compared()
            if both:
                st.metric("The model", f"{100 * model / both:.0f} %", help=f"{model} of the same {both}; you {you}")
            found = (table["right"] / table["asked"]).mean()
            st.metric(
                "Balanced", f"{100 * found:.0f} %", help="Mean over the classes of the share that you named right."
            )
