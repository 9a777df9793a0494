"""The text of a training that is resumed: another one, a grown one, other held-out text."""

import re
import shlex
import shutil

import pytest
from conftest import make_text, run_charrnn
from processes import SMALL, contents, train


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


@pytest.mark.slow
def test_another_text_is_refused_unless_forced(folder):
    other = make_text(4000, seed=1).replace("b", "a")  # an alphabet that lacks a letter
    (folder / "verse.txt").write_text(other, encoding="utf-8")
    refused = train(folder, "--resume", "--max-steps", 30)
    assert refused.process.exitcode == 1
    assert "learned from verse.txt of 3,000 bytes" in refused.stderr
    assert "and verse.txt has 4,000" in refused.stderr
    told = "or begin a training on this one from its weights with "
    assert f"{told}--init-from verse.pt --overwrite in place of --resume\n" in refused.stderr
    apart = train(folder, "--resume-from", "verse.pt", "--out", "apart.pt", "--max-steps", 30)
    assert f"{told}--init-from verse.pt in place of --resume-from\n" in apart.stderr
    itself = train(folder, "--resume-from", "verse.pt", "--max-steps", 30)
    assert f"{told}--init-from verse.pt --overwrite in place of --resume-from\n" in itself.stderr
    before = contents(folder)
    forced = train(folder, "--force-resume", "--max-steps", 30)
    assert forced.process.exitcode == 0, forced.stderr
    assert "parameters, those of verse.pt, whose loss here is " in forced.stderr
    after = contents(folder)
    assert after["characters"] == before["characters"], "an id means what it meant"
    assert after["corpus"]["characters"] == sum(after["corpus"]["counts"]) == 4000
    assert after["corpus"]["counts"][after["characters"].index("b")] == 0
    assert [row["step"] for row in after["history"]][:1] == [0], "losses of another text, from its beginning on"
    assert after["training"]["step"] == 30
    (folder / "verse.txt").write_text(other + "é", encoding="utf-8")
    unknown = train(folder, "--force-resume", "--max-steps", 40)
    assert unknown.process.exitcode == 1
    assert "verse.txt: cannot go on with it, since it has 'é' (U+00E9)" in unknown.stderr
    assert unknown.stderr.endswith(f"{told}--init-from verse.pt --overwrite in place of --force-resume\n")
    branch = train(folder, "--resume-from", "verse.pt", "--force-resume", "--out", "b.pt", "--max-steps", 40)
    assert branch.stderr.endswith(f"{told}--init-from verse.pt in place of --resume-from and --force-resume\n")


@pytest.mark.slow
def test_grown_text_is_refused_with_a_command_to_continue(folder):
    with open(folder / "verse.txt", "a") as text:
        text.write("more\n")
    refused = train(folder, "--resume", "--max-steps", 24)
    assert refused.process.exitcode == 1
    grown = "it has grown: to go on with what there was, its first 3,000 bytes, run "
    command = re.search(rf"{grown}(.*), or begin", refused.stderr)[1]
    assert command == "head -c 3000 verse.txt | charrnn train - --out verse.pt --resume --max-steps 24 --threads 1"
    (folder / "there.txt").write_bytes((folder / "verse.txt").read_bytes()[:3000])
    words = shlex.split(command.rpartition("|")[2].replace(" - ", " there.txt "))
    assert run_charrnn(folder, *words[1:]).returncode == 0
    before = (folder / "verse.pt").read_bytes()
    branch = ["--resume-from", "verse.pt", "--out", "b.pt"]
    ends, pace = ["--epochs", "3", "--time", "90"], ["--patience", "5", "--evaluate-every", "7"]
    machine, own = ["--device", "cpu", "--no-deterministic"], ["--save-every", "90", "--sample-every", "2", "--quiet"]
    refused = train(folder, *branch, *own, *machine, *pace, *ends, "--log", "b.log", "--no-cache")
    command = re.search(r"run head -c 3000 verse.txt \| (.*), or begin", refused.stderr)[1]
    kept = " ".join([*branch, "--log", "b.log", *ends, *pace, *machine, "--threads", "1", *own])
    assert command == f"charrnn train - --no-cache {kept}"
    assert run_charrnn(folder, *shlex.split(command.replace(" - ", " there.txt "))[1:]).returncode == 0
    assert ((folder / "verse.pt").read_bytes() == before, (folder / "b.log").exists()) == (True, True)
    (folder / "verse.txt").write_text("x" + make_text(4000))
    refused = train(folder, "--resume", "--max-steps", 24)
    assert (refused.process.exitcode, "grown" in refused.stderr) == (1, False), refused.stderr


@pytest.mark.slow
def test_grown_text_is_recognized_whatever_was_added(folder):
    few = ["--out", "few.pt", "--min-count", 40, "--max-steps"]
    assert train(folder, *SMALL, *few, 3).process.exitcode == 0
    told = "; it has grown: to go on with what there was, its first 3,000 bytes, run head -c 3000 verse.txt | "
    for new, flags in (("\u4e2d", ["--max-steps", 24]), (make_text(5000), [*few, 5])):
        (folder / "verse.txt").write_text(make_text(3000) + new, encoding="utf-8")
        refused = train(folder, "--resume", *flags)
        assert (refused.process.exitcode, told in refused.stderr) == (1, True), refused.stderr


@pytest.mark.slow
def test_text_name_with_a_hyphen_is_quoted_in_messages(folder):
    (folder / "-x.txt").write_text(make_text(1000))
    begun = run_charrnn(folder, "train", *SMALL, "--max-steps", 3, "--out", "x.pt", "--", "-x.txt")
    assert begun.returncode == 0, begun.stderr
    with open(folder / "-x.txt", "a") as text:
        text.write("more\n")
    told = run_charrnn(folder, "train", "--out", "x.pt", "--resume", "--", "-x.txt").stderr
    assert b"head -c 1000 ./-x.txt | charrnn train - --out x.pt --resume" in told


@pytest.mark.slow
def test_larger_held_out_part_warns_that_it_was_learned(folder):
    flags = ["--force-resume", "--max-steps", 24, "--val-fraction"]
    larger, same = train(folder, *flags, 0.2), train(folder, *flags, 0.1)
    assert (larger.process.exitcode, same.process.exitcode) == (0, 0), same.stderr
    assert "--val-fraction 0.2, so that some of what is held out was learned from before" in larger.stderr
    assert "learned from before" not in same.stderr
    assert contents(folder)["origin"]["learned_held_out"], "as its last line cannot tell"


@pytest.mark.slow
def test_finished_run_with_other_held_out_text_makes_one_step(folder):
    larger = train(folder, "--force-resume", "--val-fraction", 0.2)
    told = (
        "verse.pt: already at its end: none of its evaluations is of what is held out now, so one step is made and "
        "evaluated; give a larger --epochs, --max-steps or --time to train on"
    )
    assert larger.stderr.count(told) == 1, larger.stderr
    assert contents(folder)["training"]["step"] == 21


@pytest.mark.slow
def test_alphabet_chosen_by_flags_cannot_change(folder):
    flags = ["--min-count", 40, "--max-steps", 22]
    chosen = train(folder, *SMALL, *flags, "--out", "few.pt")
    assert chosen.process.exitcode == 0, chosen.stderr
    assert train(folder, "--resume", "--out", "few.pt", "--min-count", 40).process.exitcode == 0
    refused = train(folder, "--resume", "--out", "few.pt", "--max-vocab", 3)
    assert refused.process.exitcode == 2
    assert refused.stderr.startswith("charrnn: --min-count and --max-vocab would give 3 characters an id, and the ")
    told = ", with the alphabet as it was, whatever --max-vocab would choose"
    for text in (make_text(3000), make_text(1500)):  # the same, and another
        (folder / "verse.txt").write_text(text, encoding="utf-8")
        forced = train(folder, "--force-resume", "--out", "few.pt", "--max-vocab", 3, "--max-steps", 24)
        assert (forced.process.exitcode, told in forced.stderr) == (0, True), forced.stderr
