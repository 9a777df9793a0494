import re
import xml.etree.ElementTree as ElementTree

from conftest import ROOT, run_charrnn
from hypothesis import given
from hypothesis import strategies as st

from charrnn.display.svg import COLUMNS, MIRRORED, Tinted, picture

SVG = "{http://www.w3.org/2000/svg}"


def parse(drawn):
    root = ElementTree.fromstring(drawn)
    return root, [node.text for node in root.iter(f"{SVG}text") if node.get("class") in (None, "mark")]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_is_a_valid_picture_of_all_its_characters(text):
    root, shown = parse(picture([Tinted(c, 0.5, ("<",)) for c in text], text))
    assert len(shown) == len(text)
    assert all(
        letter in (c, c.translate(MIRRORED), f"◌{c}", f"\u115f{c}", *"↵→□␀⁀¦¬") or (len(letter) == 1 and c < " ")
        for letter, c in zip(shown, text, strict=True)
    )
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter(f"{SVG}text"):
        assert 0 < float(node.get("x")) < width
        assert 0 < float(node.get("y")) < height
    assert not [
        node for node in root.iter() if node.tag not in {SVG + n for n in ("svg", "title", "style", "rect", "text")}
    ]


def test_colours_follow_the_values_and_lines_end_at_line_feeds():
    root, _ = parse(picture([Tinted("a", 1), Tinted("b", -0.5), Tinted("\n", 0), Tinted("c", 2)], "t"))
    tints = [(node.get("class"), node.get("opacity")) for node in root.iter(f"{SVG}rect")][1:]
    assert tints == [("hot", "0.85"), ("cold", "0.42"), ("sign", "0.42"), ("hot", "0.85")], (
        "a line for what is below zero"
    )
    letters = list(root.iter(f"{SVG}text"))
    assert letters[3].get("x") == letters[0].get("x")
    assert float(letters[3].get("y")) > float(letters[2].get("y"))
    unassigned = parse(picture([Tinted(c, 0) for c in "\uffff\u0378"], "t"))[1]
    assert unassigned == ["□", "\u0378"], "which a later Unicode may have"
    assert parse(picture([Tinted("a", 0)], "a\ufffe\uffff"))[0].find(f"{SVG}title").text == "a□□"
    joiners = "a\N{SOFT HYPHEN}\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}\t\n"
    assert "".join(parse(picture([Tinted(c, 0) for c in joiners], "t"))[1]) == "a¬⁀¦→↵"
    wrapped, _ = parse(picture([Tinted("x", 0)] * (COLUMNS + 1), "t"))
    assert len({node.get("y") for node in wrapped.iter(f"{SVG}text")}) == 2


def run(trained, *arguments):
    return run_charrnn(trained, "inspect", "words.pt", *arguments, text=True)


def test_view_of_a_text_becomes_a_picture(trained):
    for name, view in {"surprise.svg": ["--top-k", "2"], "cell.svg": ["--cell", "0:3"]}.items():
        result = run(trained, "--text", "Tin <b>&", "--svg", name, *view)
        assert (result.returncode, result.stderr, result.stdout) == (0, "", f"{name}\n")
        root, shown = parse((trained / name).read_text(encoding="utf-8"))
        assert root.find(f"{SVG}title").text == ("words: surprise" if name == "surprise.svg" else "words: cell 0:3")
        assert "".join(shown) == ("Tin <b>&" if name == "surprise.svg" else "Tin b")


def test_picture_of_a_beginning_says_so(trained):
    (trained / "twice.txt").write_text((trained / "words.txt").read_text() * 2)
    part = "the first 20,000 of 40,000 characters of twice.txt"
    for view, told in (([], "; --score FILE --by line reads all of it"), (["--cell", "0:3"], "")):
        result = run(trained, "--text-file", "twice.txt", "--svg", "part.svg", *view)
        assert (result.returncode, result.stderr, result.stdout) == (0, f"{part}{told}\n", "part.svg\n")


def test_svg_takes_one_text_and_replaces_only_pictures(trained):
    (trained / "notes.txt").write_text("mine")
    for arguments, message in {
        ("--svg", "a.svg"): "--svg draws one text; give --text or --text-file alone, or one --cell",
        ("--svg", "a.svg", "--cell", "0:1", "--cell", "0:2"): "--svg draws one text",
        ("--svg", "a.svg", "--cell", "0:1", "--cell", "0:2", "--text-file", "gone.txt"): "--svg draws one text",
        ("--svg", "notes.txt", "--text", "Tin"): "notes.txt: exists and is not a picture of charrnn",
    }.items():
        result = run(trained, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"charrnn: {message}")
    assert (trained / "notes.txt").read_text() == "mine"


def test_link_is_kept_and_its_target_written(trained):
    (trained / "link.svg").symlink_to("real.svg")
    assert run(trained, "--svg", "link.svg", "--text", "Tin").returncode == 0
    assert (trained / "link.svg").is_symlink()
    parse((trained / "real.svg").read_text(encoding="utf-8"))


def test_legend_is_below_the_text_and_within_the_picture(trained):
    legends = {}
    for name, view in {
        "surprise": [],
        "guesses": ["--top-k", "2"],
        "cell": ["--cell", "0:3"],
        "gate": ["--cell", "0:3:f"],
    }.items():
        assert run(trained, "--text", "Tin", "--svg", f"{name}.svg", *view).returncode == 0
        root, _ = parse((trained / f"{name}.svg").read_text(encoding="utf-8"))
        *letters, legend = root.iter(f"{SVG}text")
        legends[name] = legend.text
        assert max(float(node.get("y")) for node in letters) < float(legend.get("y")) < float(root.get("height"))
        assert float(root.get("width")) > 7.2 * len(legend.text), "of a monospaced letter of twelve pixels"
    assert legends["surprise"] == "orange: surprising, the strongest 8 bits or more"
    assert legends["guesses"] == f"{legends['surprise']}; below: what was expected"
    assert re.fullmatch(r"orange: above 0, up to 1\.00", legends["gate"])
    assert re.fullmatch(
        r"orange: above 0, up to (0\.\d\d|1\.00)(; blue, underlined: below 0, down to -\1)?", legends["cell"]
    )


def test_pictures_of_the_readme_are_valid_and_small():
    targets = re.findall(r"\]\((\S+\.svg)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(targets) == 2
    for target in targets:
        data = (ROOT / target).read_text(encoding="utf-8")
        assert parse(data)[1]
        assert parse(data)[0].find(f"{SVG}style").text == parse(picture([], ""))[0].find(f"{SVG}style").text
        assert len(data) < 100_000


def seen(text):
    """The letters of each line of the picture of a text, from left to right, and where each line begins."""
    root, _ = parse(picture([Tinted(c, 0.5) for c in text], "t"))
    lines = {}
    for node in root.iter(f"{SVG}text"):
        lines.setdefault(node.get("y"), []).append((float(node.get("x")), node.text))
    return ["".join(letter for _, letter in sorted(line)) for line in lines.values()], [
        min(line)[0] for line in lines.values()
    ]


def test_right_to_left_text_is_reordered_around_numbers_and_latin():
    assert seen("אב גד 12, ab cd!\n")[0] == ["↵!ab cd ,12 דג בא"]
    assert seen("אב 1,5% ג")[0] == ["ג 1,5% בא"]
    assert seen("ab אב 12 cd")[0] == ["ab 12 בא cd"]
    assert seen("ab אב 12 גד cd\n")[0] == ["ab דג 12 בא cd↵"]
    assert seen("سلام")[0] == ["مالس"]
    assert seen("12 אב")[0] == ["בא 12"]
    assert seen("a b")[0] == ["a b"]
    (_, _, _), (first, second, third) = seen("אב\nabcd\n12 אב")
    assert (first > second, third - second) == (True, 0), "lines from the right end at the right"
    whole, _ = seen("א" + "b" * COLUMNS + "c\n")
    assert whole[1] == "↵bc", "a line that goes on is read as it began"


def test_brackets_in_right_to_left_text_are_mirrored():
    assert seen("אב (גד) [ה]")[0] == ["[ה] (דג) בא"]
    assert seen("אב «(12)» <a (b) c>")[0] == ["<a (b) c> «(12)» בא"]
    assert seen("ab (אב) cd")[0] == ["ab (בא) cd"]
    assert seen("ab א(ג)ה cd")[0] == ["ab ה(ג)א cd"]
    root = ElementTree.fromstring(picture([Tinted(c, 0, (c, "≤")) for c in "ab א(ב)ג"], "t"))
    rows = {}
    for node in root.iter(f"{SVG}text"):
        rows.setdefault(node.get("y"), []).append((float(node.get("x")), node.text))
    first, *guesses = ["".join(letter for _, letter in sorted(row)) for row in rows.values()]
    assert (first, guesses) == ("ab ג(ב)א", [first, "≤≤≤≥≥≥≥≥"]), "and what was expected there"


def test_mark_stays_with_its_letter():
    assert seen("אב cafe\u0301 גד")[0] == ["דג cafe◌\u0301 בא"]
    assert seen("ab של\u05b0 cd")[0] == ["ab ◌\u05b0לש cd"]
    assert seen("ab של" + "\u05b0" * COLUMNS)[0][1] == "◌\u05b0" * 5, "on the next line too"
    assert seen("\u0301אב\n\u0301ab")[0] == ["↵בא◌\u0301", "◌\u0301ab"]


def test_mark_is_drawn_on_a_circle():
    root = ElementTree.fromstring(picture([Tinted("t", 0.5, ("e",)), Tinted("\u0361", 0, ("\u0301",))], "t"))
    drawn = [(node.get("class"), node.text) for node in root.iter(f"{SVG}text")]
    assert drawn == [(None, "t"), ("below", "e"), ("mark", "◌\u0361"), ("below mark", "◌\u0301")]
    assert ".mark {" in root.find(f"{SVG}style").text
    assert seen("\u200b\U000e0067\u20dd")[0] == ["□□◌\u20dd"], "what cannot be seen is no mark"


def test_mark_over_two_letters_has_room_for_two():
    root, _ = parse(picture([Tinted(c, 0.5) for c in "t\u0361s\u0301x"], "t"))
    first, second, third, fourth, last = [float(node.get("x")) for node in root.iter(f"{SVG}text")]
    assert (third - second, last - fourth) == (2 * (second - first), fourth - third)


def test_decomposed_hangul_has_room_for_its_parts():
    root, shown = parse(picture([Tinted(c, 0.5) for c in "\u110b\u1161\u11abx"], "t"))
    first, second, third, last = [float(node.get("x")) for node in root.iter(f"{SVG}text")]
    assert second - first == third - second == last - third
    assert shown == ["\u110b", "\u115f\u1161", "\u115f\u11ab", "x"], "none joins what is beside it"
