"""What the tests of scores compare with: the alphabet of the trained model, and the bits that torch computes."""

import math

import numpy as np
import torch
from conftest import make_text
from torch.nn import functional

from charrnn.config import ModelConfig, config_from_dict
from charrnn.network.model import CharRNN, forecasts_on
from charrnn.recall import recall_columns
from charrnn.text.encoder import CharEncoder

ALPHABET = "".join(sorted({*make_text(20_000)}))
"""Of the trained model."""


def torch_bits(folder, line):
    """Bits per character of a line that follows a line feed, by torch's model, its own line feed included."""
    contents = torch.load(folder / "words.pt", weights_only=True)
    model = CharRNN(config_from_dict(ModelConfig, contents["model"])).eval()
    model.load_state_dict(contents["weights"])
    characters = CharEncoder(contents["characters"]).encode("\n" + line)
    recalled = forecasts_on(model.device, recall_columns(characters[:-1, None], model.config.recall))
    ids = torch.from_numpy(characters.astype(np.int64))
    with torch.no_grad():
        logits, _ = model(ids[:-1, None], model.initial_state(1), recalled)
    return functional.cross_entropy(logits[:, 0], ids[1:]).item() / math.log(2)
