import numpy as np
import pytest

from charrnn.analysis.features import text_features


def values(text, name):
    return text_features(text)[name].astype(int).tolist()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("position in line", "ab\nc\n\n", [1, 2, 0, 1, 0, 0]),
        ("characters left in line", "ab\nc\nde", [1, 0, 1, 0, 2, 1, 0]),
        ("line feed", "ab\nc", [0, 0, 1, 0]),
        ("indentation", "  a b\n\t c", [1, 2, 2, 2, 2, 0, 1, 2, 2]),
        ("line in capitals so far", "AB: c\n1D", [1, 1, 1, 1, 0, 0, 0, 1]),
        ("word start", "ab 1c'd", [1, 0, 0, 1, 0, 0, 0]),
        ("word length so far", "ab 1c'd 'e", [1, 2, 0, 1, 2, 3, 4, 0, 0, 1]),
        ("word in capitals", "ABc DE aBC", [0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        ("word in capitals", "1984 B2 3D-12'S 4", [0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]),
        ("capital", "aB1É", [0, 1, 0, 1]),
        ("digit", "a1", [0, 1]),
        ("letter", "a1é", [1, 0, 1]),
        ("vowel", "abéуY", [1, 0, 1, 1, 1]),
        ("vowel", "Йой, ёжік", [0, 1, 0, 0, 0, 1, 0, 1, 0]),
        ("vowel", "øsłæ", [1, 0, 0, 1]),
        ("white space", "a \n", [0, 1, 1]),
        ("punctuation", "a,+", [0, 1, 1]),
        ("inside quotes", 'a"b"c', [0, 1, 1, 0, 0]),
        ("inside ( )", "花（はな）(a)", [0, 1, 1, 1, 0, 1, 1, 0]),
        ("inside 《 》", "山《やま》", [0, 1, 1, 1, 0]),
        ("word start", "cafe\u0301s noir", [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        ("word length so far", "पढ़ना है", [1, 2, 3, 4, 5, 0, 1, 2]),
        ("word start", "\u0301a", [0, 1]),
        ("word start", "ශ\u0dca\u200dර", [1, 0, 0, 0]),
        ("next starts a word", "I ❤\ufe0fc 'd", [0, 0, 0, 1, 0, 0, 1, 0]),
        ("inside [ ]", "山［＃]1］", [0, 1, 1, 0, 0, 0]),
        ("inside 【 】", "【a】", [1, 1, 0]),
        ("next starts a word", "ह\u0947क ख", [0, 0, 0, 1, 0]),
        ("inside quotes", "“a” «b»", [1, 1, 0, 0, 1, 1, 0]),
        ("inside quotes", '"a\n\nb"', [1, 1, 1, 0, 0, 1]),
        ("inside quotes", "„a“ b „c” d", [1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]),
        ("inside quotes", '“a\n“b" c', [1, 1, 1, 1, 1, 0, 0, 0]),
        ("inside quotes", "„a «b» c” d", [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
        ("inside quotes", "«a “b” c» d", [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
        ("inside quotes", "»a« b »c» d", [1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]),
        ("inside quotes", "”a” b", [1, 1, 0, 0, 0]),
        ("inside quotes", "a” “b” c", [0, 0, 0, 1, 1, 0, 0, 0]),
        ("inside quotes", "«a\n\nb» c «d»", [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]),
        ("inside quotes", "«\xa0a\xa0»\xa0b", [1, 1, 1, 1, 0, 0, 0]),
        ("inside quotes", "「a」『b』", [1, 1, 0, 1, 1, 0]),
        ("inside ( )", "a(b(c)d)e)f(", [0, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0]),
        ("inside ( )", ":( a (b) c", [0, 0, 0, 0, 0, 1, 1, 0, 0, 0]),
        ("inside < >", "a < b <c>", [0, 0, 0, 0, 0, 0, 1, 1, 0]),
        ("inside { }", "{}", [1, 0]),
        ("inside a comment", "a #b\nc//d\ne/*f*/g", [0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]),
        ("inside a comment", "/*/a*/b", [0, 1, 1, 1, 1, 0, 0]),
        ("next is a", "aab", [1, 0, 0]),
        ("next starts a word", "a b, c'd (e", [0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0]),
        ("next is space", "a b", [1, 0, 0]),
        ("next is line feed", "a\n", [1, 0]),
        ("next is <0xE9>", "a\udce9b", [1, 0, 0]),
    ],
)
def test_feature_values_match_their_names(name, text, expected):
    assert values(text, name) == expected


@pytest.mark.parametrize("text", ["", "\n", "a", "(((", ")))", '"'])
def test_odd_texts_have_all_features_in_full_length(text):
    features = text_features(text)
    assert len(features) >= 20
    assert all(values.shape == (len(text),) and np.isfinite(values).all() for values in features.values())
