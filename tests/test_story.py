"""A story, written in turns: what its model has read, and what of a text becomes a part of it."""

import numpy as np
import pytest
from conftest import numpy_twin, random_model

from charrnn.cli.sampler import turns
from charrnn.cli.sampler.forms import Form
from charrnn.cli.sampler.job import Job
from charrnn.config import ModelConfig
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.rules import Rules
from charrnn.generation.sampling import Sampler
from charrnn.generation.story import MOST_UNREAD, Story
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN


def make_model(**options):
    return numpy_twin(
        random_model(
            ModelConfig(vocab_size=5, cell="lstm", hidden_size=8, num_layers=1, embedding_dim=4, recall=64, **options)
        )
    )


@pytest.mark.parametrize("own_from", [None, 3])
@pytest.mark.parametrize("members", [1, 2])
def test_what_follows_a_story_is_what_follows_the_same_text_read_at_once(own_from, members):
    model, generator = make_model(members=members), np.random.default_rng(0)
    story, text = Story(model, [1, 2, 3], own_from), [1, 2, 3]
    for length in (0, 1, 40, 2 * MOST_UNREAD):
        added = generator.integers(0, 2, length).tolist()  # so few that much of it comes again
        text += added
        story.take(added)
        story.keep_up()
        for _ in range(2):  # the story stays where it is
            whole = model.reader(own_from)
            for character in text:
                expected = whole(character)
            assert story.last == text[-1]
            assert story.reader()(text[-1]) == pytest.approx(expected, abs=1e-4)


class Logged:
    """A text that is read, as a list, until it is interrupted where it would be of a certain length."""

    def __init__(self, own, ended_at):
        self.own, self.ended_at = own, ended_at

    def __call__(self, ids):
        if len(self.own) == self.ended_at[0]:
            raise KeyboardInterrupt
        self.own.append(int(ids[0]))
        return np.zeros((1, 5))

    def selected(self, _):
        return Logged([*self.own], self.ended_at)


class Logging:
    def __init__(self):
        self.ended_at = [-1]

    def batch_reader(self, num_texts, own_from=None):
        return Logged([], self.ended_at)


def test_ctrl_c_amid_the_reading_of_a_story_leaves_it_whole():
    model = Logging()
    story = Story(model, [1, 2, 3, 4], None)
    model.ended_at[0] = 2
    with pytest.raises(KeyboardInterrupt):
        story.reader()
    model.ended_at[0] = -1
    assert (story.batch_reader(1).own, story.last) == ([1, 2, 3], 4)


def test_a_story_that_grows_is_read_as_it_grows():
    story, characters = Story(Logging(), [1], None), 3 * MOST_UNREAD
    for _ in range(characters):
        story.take([2])
        story.keep_up()
    assert len(story._read.own) > characters - MOST_UNREAD


@pytest.fixture
def begun(monkeypatch):
    """The turns of a story that begins with "a", and a list of the ids that it has beyond."""
    taken = []

    class Heard(Story):
        def take(self, ids):
            taken.extend(ids)
            super().take(ids)

    monkeypatch.setattr(turns, "Story", Heard)

    def begin(encoder):
        job = Job(
            sampler=Sampler(make_model(), [0], SamplingOptions(), 3), form=Form(PLAIN, encoder, has_cr_lf=False),
            before=[], prompt="", echo=True, length=9, rules=Rules(), num_samples=1, separator="", at_once=1,
        )  # fmt: skip
        own = turns.Turns(job, is_story=True)
        own.begin("a")
        return own, taken

    return begin


def test_a_story_has_each_character_that_was_given_on_before_ctrl_c(begun):
    def drawn():
        yield from (("b", 0.0), ("c", 0.0))
        raise KeyboardInterrupt

    own, taken = begun(CharEncoder("abcde"))
    given = []
    with pytest.raises(KeyboardInterrupt):
        given.extend(character for character, _ in own.heard(drawn()))
    own.begin("e")
    assert taken == [1, 2, 4]


def test_of_a_character_that_the_end_of_a_text_has_cut_a_story_has_nothing(begun):
    """It is drawn anew, and what was typed before is whole, though its bytes are drawn one by one."""
    encoder = CharEncoder("a\xe2\x82\xac\xff", "byte")
    own, taken = begun(encoder)
    for text, cut in (("\u20aca", "\udce2\udc82"), ("a\udcff", "\udce2")):
        assert "".join(c for c, _ in own.heard((c, 0.0) for c in text + cut)) == text
        own.begin("a")
    assert encoder.decode(taken) == "\u20acaaa\udcffa"
