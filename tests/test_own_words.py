"""What a model recalls of its own words while it writes: short pieces, and no phrase again and again."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import LastAlone, numpy_twin, numpy_weights, random_model
from models import few_letters, recalling

from charrnn.generation.filters import SamplingOptions
from charrnn.generation.mixing import MixedModel, Part
from charrnn.generation.sampling import Sampler
from charrnn.network.torch_engine import TorchCharRNN
from charrnn.recall import NO_FORECAST, recall_text
from charrnn.recall_memory import LONG, RecallMemories, RecallMemory
from charrnn.text.encoder import CharEncoder


def recalled_of_own(ids, reach, generated_from):
    """The same by its definition: nothing where the last `LONG` characters were followed by an own one before."""
    found = recall_text(ids, reach)
    text = "".join(chr(0x100 + i) for i in ids.tolist())
    for place in range(LONG - 1, len(ids)):
        before = text.rfind(text[place - LONG + 1 : place + 1], 0, place)
        follows = before + LONG
        if before >= 0 and place - (follows - 1) <= reach and follows >= generated_from:
            found[place] = NO_FORECAST
    return found


@pytest.mark.parametrize("reach", [9, 300, 5000])
@pytest.mark.parametrize("generated_from", [0, 1, 16, 17, 40, 700, 5000])
def test_long_generated_passages_are_not_recalled(generated_from, reach):
    text = few_letters(500, letters=5)
    ids = np.concatenate([text, text[100:300], text, text[450:]])  # over and over, from near and from far
    expected = recalled_of_own(ids, reach, generated_from)
    memory = RecallMemory(reach, 5, generated_from)
    np.testing.assert_array_equal([memory.read(i) for i in ids.tolist()], expected)
    other = few_letters(len(ids), seed=1, letters=5)
    memories = RecallMemories(reach, 5, 2, generated_from)
    together = np.stack([memories.read(row) for row in np.stack([ids, other], axis=1)])
    np.testing.assert_array_equal(together[:, 0], expected)
    np.testing.assert_array_equal(together[:, 1], recalled_of_own(other, reach, generated_from))
    if generated_from < 700 < reach:
        assert (expected != recall_text(ids, reach)).any()


@pytest.mark.parametrize("generated_from", [None, 5000])
def test_read_text_is_recalled_whole(generated_from):
    ids = np.tile(few_letters(50), 4)
    memory = RecallMemory(300, 4, generated_from)
    np.testing.assert_array_equal([memory.read(i) for i in ids.tolist()], recall_text(ids, 300))


def believing(members=1):
    """A model that trusts whatever it recalls, and knows next to nothing else."""
    model = random_model(recalling(members=members))
    for name, parameter in model.named_parameters():
        if name.endswith("recall.weight"):
            parameter.data.zero_()
        elif name.endswith("recall.bias"):
            parameter.data.fill_(1.5)
    return model


def longest_copy(ids):
    """Characters of the longest piece that the text says a second time."""
    text, longest = "".join("abcde"[i] for i in ids), 0
    for end in range(1, len(text) + 1):
        while end > longest and text.find(text[end - longest - 1 : end], 0, end - 1) >= 0:
            longest += 1
    return longest


def test_model_trusting_its_recall_does_not_loop():
    engine = numpy_twin(believing())
    for number in range(3):
        ever_again = Sampler(engine, [0], SamplingOptions(temperature=0.5), 1, recall_all=True).stream(400, number)
        assert longest_copy(ever_again) > 200
        assert longest_copy(Sampler(engine, [0], SamplingOptions(temperature=0.5), 1).stream(400, number)) < 50


@pytest.mark.parametrize("recall_all", [False, True])
@pytest.mark.parametrize("members", [1, 2])
def test_all_ways_of_writing_recall_alike(members, recall_all):
    model = believing(members)
    engine = numpy_twin(model)
    weights = numpy_weights(model)
    encoder = CharEncoder("abcde")
    mixed = MixedModel([Part(engine, encoder, 1.0)])
    options = SamplingOptions(temperature=0.6)
    prompt = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    by_torch = TorchCharRNN(model.config, weights, "cpu")
    samplers = [Sampler(way, prompt, options, 2, recall_all=recall_all) for way in (engine, mixed, by_torch)]
    texts = [sampler.batch(range(3), 200).tolist() for sampler in samplers]
    for sampler in samplers[:2]:
        texts.append([list(sampler.stream(200, number)) for number in range(3)])
    assert all(text == texts[0] for text in texts)
    other = replace(samplers[0], recall_all=not recall_all)
    assert other.batch(range(3), 200).tolist() != texts[0]


class Told:
    """A fake model that records from which position the characters count as its own."""

    def __init__(self):
        self.generated_from = []

    def reader(self, generated_from=None):
        self.generated_from.append(generated_from)
        return lambda _: np.zeros(5)

    def batch_reader(self, num_texts, generated_from=None):
        self.generated_from.append(generated_from)
        return LastAlone(lambda ids: np.zeros((len(ids), 5)))


@pytest.mark.parametrize(("recall_all", "generated_from"), [(False, 3), (True, None)])
def test_generated_text_begins_after_the_prompt(recall_all, generated_from):
    model = Told()
    sampler = Sampler(model, [0, 1, 2], SamplingOptions(), 0, recall_all=recall_all)
    list(sampler.stream(1))
    sampler.batch([0, 1], 1)
    assert model.generated_from == [generated_from, generated_from]
