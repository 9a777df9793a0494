"""A story, written in turns: what its model has read, and what of a text becomes a part of it."""

import numpy as np
import pytest
from conftest import numpy_twin, random_model

from charrnn.cli.sampler import turns
from charrnn.cli.sampler.forms import InputForm
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


@pytest.mark.parametrize("generated_from", [None, 3])
@pytest.mark.parametrize("members", [1, 2])
def test_story_continues_like_the_same_text_read_at_once(generated_from, members):
    model, generator = make_model(members=members), np.random.default_rng(0)
    story, text = Story(model, [1, 2, 3], generated_from), [1, 2, 3]
    for length in (0, 1, 40, 2 * MOST_UNREAD):
        added = generator.integers(0, 2, length).tolist()  # so few that much of it comes again
        text += added
        story.take(added)
        story.keep_up()
        for _ in range(2):  # the story stays where it is
            whole = model.reader(generated_from)
            for character in text:
                expected = whole(character)
            assert story.last == text[-1]
            assert story.begin()(text[-1]) == pytest.approx(expected, abs=1e-4)


class Logged:
    """A text that is read, as a list, until it is interrupted where it would be of a certain length."""

    def __init__(self, model, own):
        self.model, self.own = model, own

    def __call__(self, character):
        if len(self.own) == self.model.ended_at:
            raise KeyboardInterrupt
        self.own.append(character)
        self.model.num_read += 1
        return self.own

    def copy(self):
        return Logged(self.model, [*self.own])


class Logging:
    """A model whose logits are the characters that it has read; it counts how often it has read one."""

    def __init__(self):
        self.ended_at, self.num_read = -1, 0

    def reader(self, generated_from=None):
        return Logged(self, [])


def test_ctrl_c_while_reading_a_story_leaves_it_whole():
    model = Logging()
    story = Story(model, [1, 2, 3, 4], None)
    read = story.begin
    for ended_at in (0, 2, 3):
        model.ended_at = ended_at
        with pytest.raises(KeyboardInterrupt):
            read()(4)
        model.ended_at = -1
        assert (story.begin()(story.last), story.last) == ([1, 2, 3, 4], 4)


def test_drawn_characters_are_not_read_again():
    model = Logging()
    story, told = Story(model, [1], None), [1]
    for length in (1, 3 * MOST_UNREAD, 2):
        read = story.begin()
        for character in range(length):
            assert read(story.last) == told
            story.take([character])
            told.append(character)
            story.keep_up()
        story.take([7, 8])
        told += [7, 8]
    assert model.num_read == len(told) - 2 - 1


@pytest.mark.parametrize("length", [1, 40])
def test_characters_taken_back_leave_the_story_and_little_is_read_again(length):
    """Of a piece, so many characters long, all is drawn before it is taken."""
    model = Logging()
    story, told = Story(model, [1], None), [1]
    for _ in range(2):
        before = model.num_read
        assert story.begin()(story.last) == told
        assert model.num_read - before <= MOST_UNREAD + length
        read, character = story.begin(), story.last
        for number in range(3 * MOST_UNREAD // length):
            piece = [number % 5] * length
            for drawn in piece:
                read(character)
                character = drawn
            before = model.num_read
            for each in piece:
                story.take([each])
                story.keep_up()
            assert model.num_read == before
            told += piece
        read(character)
        read(4)


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
            sampler=Sampler(make_model(), [0], SamplingOptions(), 3), form=InputForm(PLAIN, encoder, has_cr_lf=False),
            before=[], prompt="", echo=True, length=9, rules=Rules(), num_samples=1, separator="", at_once=1,
        )  # fmt: skip
        own = turns.Turns(job, is_story=True)
        own.begin("a")
        return own, taken

    return begin


def test_story_has_each_character_given_before_ctrl_c(begun):
    def drawn():
        yield from (("b", 0.0), ("c", 0.0))
        raise KeyboardInterrupt

    own, taken = begun(CharEncoder("abcde"))
    given = []
    with pytest.raises(KeyboardInterrupt):
        given.extend(character for character, _ in own.heard(drawn()))
    own.begin("e")
    assert taken == [1, 2, 4]


def test_story_drops_a_character_cut_at_the_end_of_a_text(begun):
    """It is drawn anew, and what was typed before is whole, though its bytes are drawn one by one."""
    encoder = CharEncoder("a\xe2\x82\xac\xff", "byte")
    own, taken = begun(encoder)
    for text, cut in (("\u20aca", "\udce2\udc82"), ("a\udcff", "\udce2")):
        assert "".join(c for c, _ in own.heard((c, 0.0) for c in text + cut)) == text
        own.begin("a")
    assert encoder.decode(taken) == "\u20acaaa\udcffa"
