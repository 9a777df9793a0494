"""The command line's own help and errors."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from charrnn import __version__
from charrnn.cli import COMMANDS, EXAMPLES, inspection, sample, train
from charrnn.cli.common import mistakes
from charrnn.cli.common.hints import HINTS
from charrnn.cli.common.mistakes import find_mistake, likely_flags
from charrnn.config import CHOICES


def test_version_is_printed(charrnn):
    told = charrnn("--version")
    assert (told.code, told.text, told.stderr) == (0, f"charrnn {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tran"], "no such command 'tran'. Did you mean 'train'? `charrnn -h` tells more"),
        (["--nothing"], "no such option: --nothing; `charrnn -h` tells more"),
        (
            ["--time", "10m", "train", "a.txt"],
            "no such option: --time; a command's flags go after it, as in `charrnn train --time ...`; `charrnn -h` "
            "tells more",
        ),
        (
            ["-q", "sample", "a.pt"],
            "no such option: -q; a command's flags go after it, as in `charrnn sample -q ...`; `charrnn -h` tells more",
        ),
        (["train"], "missing argument 'TEXT...'; - stands for standard input; `charrnn train -h` tells more"),
        (["sample"], "missing argument 'CHECKPOINT'; `charrnn sample -h` tells more"),
        (
            ["train", "a.txt", "--hidden-size", "much"],
            "--hidden-size is 'much'; it must be a whole number; `charrnn train -h` tells more",
        ),
        (["train", "a", "--epochs", "x y"], "--epochs is 'x y'; it must be a number; `charrnn train -h` tells more"),
        (["sample", "a", "-n", "2.5"], "--length is '2.5'; it must be a whole number; `charrnn sample -h` tells more"),
        (["sample", "a", "--seed="], "--seed is ''; it must be a whole number; `charrnn sample -h` tells more"),
        (
            ["inspect", "a", "--top-k", "all"],
            "--top-k is 'all'; it must be a whole number; `charrnn inspect -h` tells more",
        ),
        (
            ["sample", "a.pt", "wind"],
            "got unexpected extra argument(s) (wind); a text to continue is given with --prompt; `charrnn sample -h` "
            "tells more",
        ),
        (
            ["sample", "a.pt", "--stop", "cold", "the wind"],
            "got unexpected extra argument(s) (the wind); a text to continue is given with --prompt; `charrnn sample "
            "-h` tells more",
        ),
        (
            ["sample", "a.pt", "the", "wind"],
            "got unexpected extra argument(s) (the wind); a text to continue is given with --prompt, quotes make one "
            "of a text or a name with spaces; `charrnn sample -h` tells more",
        ),
        (["inspect", "a.pt", "--by"], "option '--by' requires an argument; `charrnn inspect -h` tells more"),
    ],
)
def test_invalid_command_line_is_refused_in_one_line(charrnn, words, told):
    refused = charrnn(*words)
    assert (refused.code, refused.text, refused.stderr) == (2, "", f"charrnn: {told}\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("generate a.pt", "no such command 'generate'; here it is `charrnn sample MODEL`"),
        ("train a.txt -out=my.pt", "no such option: -out; a long one begins with two hyphens: --out"),
        ("train a.txt -o=my.pt", "-o=my.pt: a short flag takes no =; write -o my.pt; `charrnn train -h"),
        ("sample a.pt -p=Once", "-p=Once: a short flag takes no =; write -p Once"),
        ("train a.txt -rnn_size 128", "no such option: -rnn_size; a long one begins with two hyphens: --hidden-size"),
        ("train a.txt --lr 0.1", "no such option: --lr (Possible options: --learning-rate)"),
        ("train a.txt --hidden_size 9", "no such option: --hidden_size (Possible options: --hidden-size)"),
        ("train a.txt \N{EN DASH}time 30s", "\N{EN DASH}time begins with a dash, not a hyphen; the flag is --time"),
        (
            "train a.txt -\N{EN DASH}time=9s",
            "-\N{EN DASH}time=9s has a dash in the place of a hyphen; the flag is --time",
        ),
        ("train a.txt --temperature 1", "no such option: --temperature; it is a flag of `charrnn sample`; --sample-ev"),
        ("export a.pt", "no such command 'export'; here it is `charrnn inspect MODEL --export FILE`"),
        ("continue a.pt", "no such command 'continue'; here it is `charrnn train TEXT --resume`"),
        ("finetune a.pt", "no such command 'finetune'; here it is `charrnn train TEXT --init-from MODEL`"),
        ("train a.txt --finetune a.pt", "no such option: --finetune (Possible options: --init-from)"),
        ("train a.txt --load=a.pt", "no such option: --load (Possible options: --init-from)"),
        ("train a.txt --checkpoint a.pt", "no such option: --checkpoint; --resume goes on from the one that --out na"),
        ("train --data_dir corpora", "no such option: --data_dir; texts are given without a flag"),
        ("train -i a.txt", "no such option: -i; texts are given without a flag"),
        ("train a.txt --train_frac 0.9", "no such option: --train_frac; --val-fraction is the share that is held out"),
        ("train a.txt --verbose", "no such option: --verbose; it reports everything unless --quiet is given"),
        ("train a.txt --val_frac 0.1", "no such option: --val_frac (Possible options: --val-fraction)"),
        ("train a.txt --val 0.1", "no such option: --val; --val-fraction is the share that is held out, --val-text"),
        ("train a --valid b", "no such option: --valid; --val-fraction is the share that is held out, --val-text"),
        ("train a.txt -val b.txt", "no such option: -val; --val-fraction is the share that is held out, --val-text"),
        ("train a.txt --line_delimited", "no such option: --line_delimited; --lines learns each line as a text of its"),
        ("sample a.pt -T 0.5", "no such option: -T; the temperature is -t, in lower case"),
        ("sample --out_dir out", "no such option: --out_dir; a checkpoint is given without a flag"),
        ("train a.txt --n-epochs 3", "no such option: --n-epochs (Possible options: --epochs)"),
        ("train a.txt -decay_rate 0.9", "no such option: -decay_rate; a long one begins with two hyphens: --beta2"),
        (
            "train a --learning_rate_decay .9",
            "no such option: --learning_rate_decay; the learning rate falls linearly; --fin",
        ),
        (
            "train a.txt --lr_decay_factor=.5",
            "no such option: --lr_decay_factor; the learning rate falls linearly; --final-l",
        ),
        (
            "train a.txt --min_lr 1e-4",
            "no such option: --min_lr; the learning rate falls linearly; --final-learning-rate is ",
        ),
        ("train a.txt --init_from=resume", "--init_from=resume: --resume goes on with a training, and --init-from na"),
        ("train a.txt --dtype=bfloat16", "no such option: --dtype (Possible options: --precision)"),
        ("train a.txt --force", "no such option: --force (Possible options: --overwrite)"),
        ("train --text a.txt", "no such option: --text; texts are given without a flag"),
        ("train --input_txt=a.txt", "no such option: --input_txt; texts are given without a flag"),
        ("inspect a.pt --prompt the", "no such option: --prompt; it is a flag of `charrnn sample`; --text shows whe"),
        ("inspect a.pt --plot", "no such option: --plot; without a flag it draws the losses; --html and --svg write"),
        ("inspect a.pt --seed 1", "no such option: --seed; it is a flag of `charrnn sample`"),
        ("train a.txt --wandb", "no such option: --wandb (Possible options: --log)"),
        ("train a.txt --final_lr 0.1", "no such option: --final_lr (Possible options: --final-learning-rate)"),
        ("train My Poems.txt", 'My Poems.txt: a name with spaces; put quotes around it: "My Poems.txt"'),
        ("sample My Poems.txt", 'My Poems.txt: a name with spaces; put quotes around it: "My Poems.txt"'),
        ("inspect My Poems.txt", 'My Poems.txt: a name with spaces; put quotes around it: "My Poems.txt"'),
        (
            "inspect a.pt --text To be or",
            "be or: follows --text To and is not a file; put quotes around the words: --text '",
        ),
        (
            "inspect --text=To be --json -",
            "be: follows --text To and is not a file; put quotes around the words: --text ",
        ),
        (
            "train My --out my poems",
            "poems: follows --out my and is not a file; put quotes around the words: --out 'my ",
        ),
        ("train My --time 10 minutes", "minutes: follows --time 10 and is not a file; write --time 10m"),
        ("train My --time 1m 30s -q", "30s: follows --time 1m and is not a file; write --time 1m30s"),
        ("train --time 1.5 Hours My", "Hours: follows --time 1.5 and is not a file; write --time 1.5h"),
        ("train My --save-every=1 hr 5 min", "hr 5 min: follows --save-every 1 and is not a file; write --save-every"),
        ("train --time 10 minutes", "minutes: no such file; give a text file, or - for standard input"),
        ("train My --time 10 fortnights", "My: no such file; give a text file, or - for standard input"),
        ("train --time 10m My verse.txt", "My: no such file; give a text file, or - for standard input"),
        ("train --include *.py My lib", "My: no such file; give a text file, or - for standard input"),
        ("train --out my.pt My lib", "My: no such file; give a text file, or - for standard input"),
        ("sample a.pt -t 0.5 wind", "got unexpected extra argument(s) (wind); a text to continue is given with --"),
        ("sample a.pt -n 9 # much", "# begins no comment in a line that is typed into zsh; leave it out, and all"),
        (
            "sample a.pt -p the wind",
            "wind: follows -p the and is not a file; put quotes around the words: -p 'the wind'",
        ),
        (
            "sample a.pt -qp the wind",
            "wind: follows -qp the and is not a file; put quotes around the words: -qp 'the wind'",
        ),
        (
            "sample a.pt --prompt “The moon",
            "moon: follows --prompt “The and is not a file; put quotes around the words",
        ),
        ("sample a.pt --greedy", "no such option: --greedy; -t 0 always takes the likeliest character"),
        ("sample a.pt --count 3", "no such option: --count (Possible options: --num-samples)"),
        ("sample a.pt --max-tokens 9", "no such option: --max-tokens (Possible options: --length)"),
        ("sample a.pt --ignore-case", "no such option: --ignore-case; (?i) at the start of --match makes both"),
        ("sample a.pt --repeat-penalty 1.1", "no such option: --repeat-penalty; there is none; where a text repeats"),
        ("sample a.pt --color", "no such option: --color; --surprisal colours each character"),
        ("sample a.pt -o poem.txt", "no such option: -o; the text goes to stdout: add > and a file's name"),
        ("train a.txt --max_length 40", "no such option: --max_length (Possible options: --seq-len)"),
        ("sample a.pt --max_length 40", "no such option: --max_length (Possible options: --length)"),
        ("train a.txt --gen_epochs 5", "no such option: --gen_epochs; --sample-every 1 shows what it writes after"),
        ("train a.txt -checkpoint_every 1000", "no such option: -checkpoint_every; --save-every is a time such as 60"),
        ("sample a.pt -sample 0", "no such option: -sample; characters are sampled; -t 0 always takes the likeliest"),
        (
            "sample a.pt --sample=0",
            "no such option: --sample; characters are sampled; -t 0 always takes the likeliest",
        ),
        ("sample a.pt --top_n 3", "no such option: --top_n; no characters are offered to choose from; --top-k draws"),
        ("sample a.pt --n 5", "no such option: --n (Possible options: --num-samples)"),
        ("train a.txt -batchnorm 1", "no such option: -batchnorm; --layer-norm, which is on by default, normalises"),
        ("train a.txt -lr_decay_every 5", "no such option: -lr_decay_every; the learning rate falls linearly; --fin"),
        ("train a.txt -gpuid -1", "no such option: -gpuid; --device cpu computes on the processor, --device cuda on"),
        ("train a.txt --n_layers 2", "no such option: --n_layers (Possible options: --num-layers)"),
        ("train a.txt --max_grad_norm 5", "no such option: --max_grad_norm (Possible options: --grad-clip)"),
        ("train a.txt --compile=False", "no such option: --compile; charrnn has nothing of the kind; leave it out;"),
        ("train a.csv --is_csv=True", "no such option: --is_csv; a CSV file is read as it is; README.md, under Ques"),
        ("sample a.pt -nonsense 5 -q", "--length is 'onsense'; it must be a whole number; `charrnn sample -h` tells"),
        ("train a.txt -nonsense 5", "no such option: -nonsense; `charrnn train -h` tells more"),
        ("train a.txt -hiden_size 5", "no such option: -hiden_size; a long one begins with two hyphens: --hidden-siz"),
    ],
)
def test_flag_names_of_other_programs_suggest_ours(charrnn, tmp_path, words, told):
    (tmp_path / "My Poems.txt").write_text("verse")
    refused = charrnn(*words.split())
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr.startswith(f"charrnn: {told}")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--hiden-size", ["--hidden-size"]),
        ("--temprature", ["--temperature"]),
        ("--learningrate", ["--learning-rate"]),
        ("--seqlen", ["--seq-len"]),
        ("--EPOCH", ["--epochs"]),
        ("--lenght", ["--length"]),
        ("--topk", ["--top-k"]),
        ("--overwite", ["--overwrite"]),
        ("--layernorm", ["--layer-norm"]),
        *((f"--{other}", []) for other in ("header", "workers", "tied", "compile", "sample", "backend", "grad", "x")),
    ],
)
def test_similar_spelling_suggests_a_flag(typed, meant):
    known = dict.fromkeys((flag for module in (train, sample) for flag in flags_of(module)), True)
    assert likely_flags(typed, known) == meant


@pytest.fixture(scope="module")
def desk(trained, tmp_path_factory):
    """A writer's folder: names with spaces, and a checkpoint without an extension."""
    desk = tmp_path_factory.mktemp("desk")
    names = ["Chapter 01.txt", "Chapter 02.txt", "new chapter.txt", "Book final FINAL.txt", "poem.txt", "book.txt"]
    (desk / "My Novel").mkdir()
    for name in [*names, "My Novel/Chapter 01.txt"]:
        (desk / name).write_text("verse " * 99)
    for name in ("v1.pt", "My Novel.pt", "novel"):
        (desk / name).write_bytes((trained / "words.pt").read_bytes())
    return desk


ONE_NAME, NAMES = "a name with spaces; put quotes around it: ", "names with spaces; put quotes around each: "
WORDS = "put quotes around the words: "


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train book.txt --init-from My Novel.pt --out y.pt", f'My Novel.pt: {ONE_NAME}--init-from "My Novel.pt"'),
        ("train book.txt --resume-from My Novel.pt -q", f'My Novel.pt: {ONE_NAME}--resume-from "My Novel.pt"'),
        ("train book.txt --val-text new chapter.txt", f'new chapter.txt: {ONE_NAME}--val-text "new chapter.txt"'),
        ("train book.txt --out=My Novel.pt --resume", f'My Novel.pt: {ONE_NAME}--out "My Novel.pt"'),
        ("inspect v1.pt --score new chapter.txt", f'new chapter.txt: {ONE_NAME}--score "new chapter.txt"'),
        ("inspect --text-file new chapter.txt v1.pt", f'new chapter.txt: {ONE_NAME}--text-file "new chapter.txt"'),
        (
            "inspect v1.pt --novelty poem.txt --corpus Book final FINAL.txt --json",
            f'Book final FINAL.txt: {ONE_NAME}--corpus "Book final FINAL.txt"',
        ),
        ("sample v1.pt --novel new chapter.txt", f'new chapter.txt: {ONE_NAME}--novel "new chapter.txt"'),
        ("sample v1.pt -qf new chapter.txt", f'new chapter.txt: {ONE_NAME}-qf "new chapter.txt"'),
        ("train Chapter 01.txt", f'Chapter 01.txt: {ONE_NAME}"Chapter 01.txt"'),
        (
            "train Chapter 01.txt Chapter 02.txt --time 9s",
            f'Chapter 01.txt, Chapter 02.txt: {NAMES}"Chapter 01.txt" "Chapter 02.txt"',
        ),
        (
            "train Chapter 01.txt --val-text new chapter.txt -- Chapter 02.txt",
            "Chapter 01.txt, new chapter.txt, Chapter 02.txt: "
            f'{NAMES}"Chapter 01.txt" --val-text "new chapter.txt" "Chapter 02.txt"',
        ),
        ("train My Novel/Chapter 01.txt", f'My Novel/Chapter 01.txt: {ONE_NAME}"My Novel/Chapter 01.txt"'),
        ("train book.txt new chapter.txt poem.txt", f'new chapter.txt: {ONE_NAME}"new chapter.txt"'),
        ("inspect v1.pt My Novel.pt", f'My Novel.pt: {ONE_NAME}"My Novel.pt"'),
        (
            "inspect v1.pt --export for Anna.pt",
            f"Anna.pt: follows --export for and is not a file; {WORDS}--export 'for ",
        ),
        (
            "inspect v1.pt --html my page.html",
            f"page.html: follows --html my and is not a file; {WORDS}--html 'my page",
        ),
        (
            "train poem.txt --out my novel 2.pt",
            f"novel 2.pt: follows --out my and is a checkpoint, not a text; {WORDS}--",
        ),
        ("train poem.txt -o a novel.pt -q", f"novel.pt: follows -o a and is not a file; {WORDS}-o 'a novel.pt'"),
        (
            "train poem.txt --log my log.jsonl",
            f"log.jsonl: follows --log my and is not a file; {WORDS}--log 'my log.js",
        ),
        (
            "train poem.txt --out my novel",
            f"novel: follows --out my and is a checkpoint, not a text; {WORDS}--out 'my n",
        ),
        ("train poem.txt --out my.pt novl.pt", "novl.pt: no such file"),
        ("train poem.txt --out run novel.pt", "novel.pt: follows --out run and is not a file"),
        ("train poem.txt --out run v1.pt", "v1.pt: is a checkpoint, not a text"),
        ("train --init-from My Novel.pt", "Novel.pt: no such file"),
        ("sample v1.pt --prompt The book.txt", "got unexpected extra argument(s) (book.txt)"),
    ],
)
def test_unquoted_name_with_spaces_after_a_flag_suggests_quoting(charrnn, desk, words, told):
    refused = charrnn(*words.split(), cwd=desk)
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr.startswith(f"charrnn: {told}")
    assert refused.stderr.count("\n") == 1


STRAIGHT = "the quotation marks are typographic, and the shell needs straight ones: "


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("train “My Novel” --time 30s", f'“My Novel”: {STRAIGHT}"My Novel"'),
        ("train “Chapter 01.txt”", f'“Chapter 01.txt”: {STRAIGHT}"Chapter 01.txt"'),
        ("train book.txt “poem.txt”", f"“poem.txt”: {STRAIGHT}poem.txt"),
        ("sample “v1.pt”", f"“v1.pt”: {STRAIGHT}v1.pt"),
        (
            "inspect v1.pt --novelty poem.txt --corpus “Book final FINAL.txt”",
            f'--corpus “Book final FINAL.txt”: {STRAIGHT}--corpus "Book final FINAL.txt"',
        ),
        ("train book.txt --out “v2.pt”", f"--out “v2.pt”: {STRAIGHT}--out v2.pt"),
        ("train book.txt --out=“v2.pt”", f"--out “v2.pt”: {STRAIGHT}--out v2.pt"),
        ("sample v1.pt --seed “7”", f"--seed “7”: {STRAIGHT}--seed 7"),
        ("train book.txt --time “10m”", f"--time “10m”: {STRAIGHT}--time 10m"),
        ("sample v1.pt -p “The moon.”", f'-p “The moon.”: {STRAIGHT}-p "The moon."'),
        ("sample v1.pt --prompt „The moon.“ -q", f'--prompt „The moon.“: {STRAIGHT}--prompt "The moon."'),
        ("sample v1.pt --prompt ‘The moon.’ -q", f'--prompt ‘The moon.’: {STRAIGHT}--prompt "The moon."'),
        ("sample v1.pt --prompt « The “moon” . »", f'--prompt « The “moon” . »: {STRAIGHT}--prompt "The “moon” ."'),
        ("sample v1.pt --prompt »The moon.« -q", f'--prompt »The moon.«: {STRAIGHT}--prompt "The moon."'),
        (
            "sample v1.pt --prompt “Yes,” he said, “so.”",
            f"he said, “so.”: follows --prompt “Yes,” and is not a file; {WORDS}--prompt '“Yes,” he said, “so.”'",
        ),
    ],
)
def test_typographic_quotation_marks_suggest_straight_ones(charrnn, desk, words, told):
    refused = charrnn(*words.split(), cwd=desk)
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr.startswith(f"charrnn: {told}; ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--prompt", "“Yes.”", "v1.pt"], ["--stop", "“", "--stop", "”", "v1.pt"], ["“v3.pt”"],
        ["--exclude", "«old»", "v1.pt"], ["--prompt", "My", "Novel.pt"], ["-p", "new chapter.txt", "v1.pt"],
    ],
)  # fmt: skip
def test_quoted_text_and_names_with_quotation_marks_are_accepted(words, desk, tmp_path, monkeypatch):
    for name in ("“v3.pt”", "v1.pt", "My Novel.pt", "Novel.pt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert find_mistake(words, {"--prompt": True, "-p": True, "--stop": True, "--exclude": True}, {}) == ""


@pytest.mark.parametrize(
    ("flag", "typed", "mended"),
    [("-p", ["my", "dear"], "'my dear'"), ("--prompt", ["wind"], "wind"), ("--time", ["10", "min"], "10m")],
)
def test_words_after_an_empty_value_are_all_part_of_the_suggestion(flag, typed, mended):
    told = find_mistake([flag, "", *typed, __file__], {"--prompt": True, "-p": True, "--time": True}, {})
    assert told.startswith(f"{' '.join(typed)}: follows {flag} '' and is not a file; ")
    assert told.endswith(f": {flag} {mended}" if flag != "--time" else f"; write --time {mended}")


def test_value_may_look_like_a_long_flag_with_one_hyphen():
    known = {"--prompt": True, "-p": True, "-n": True, "--quiet": False, "--time": True}
    assert find_mistake(["--prompt", "-time", "-p", "-quiet", "-n20", "--", "-time"], known, {}) == ""
    assert find_mistake(["-qp", "-time", "-q", "\N{EM DASH}Who?"], {**known, "-q": False}, {}) == ""
    assert find_mistake(["--quiet", "-time"], known, {}).startswith("no such option: -time; ")
    assert find_mistake(["-qptime"], {**known, "-q": False}, {}) == ""
    assert find_mistake(["-qwerty"], {**known, "-q": False}, {}) == "no such option: -qwerty"
    assert find_mistake(["\N{EN DASH}p", "x"], known, {}).endswith("; the flag is -p")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["train", "a.txt", "--time", "9s", "--time=5s"], "--time"),
        (["sample", "a.pt", "--match", "a", "--match", "b"], "--match"),
        (["sample", "a.pt", "-p", "the", "-pcold"], "--prompt"),
        (["sample", "a.pt", "-qpthe", "--prompt", "-q"], "--prompt"),
        (["inspect", "a.pt", "--score", "a", "--score", "a"], "--score"),
    ],
)
def test_repeated_single_value_flag_is_refused(charrnn, words, flag):
    refused = charrnn(*words)
    told = f"charrnn: {flag} is given twice; it takes one value; `charrnn {words[0]} -h` tells more\n"
    assert (refused.code, refused.text, refused.stderr) == (2, "", told)


@pytest.mark.parametrize(
    "words",
    [
        ["-q", "-q", "--no-echo", "--no-echo", "a.pt"], ["--stop", "a", "--stop", "a", "a.pt"],
        ["--allow", "a", "--allow", "b", "a.pt"], ["-p", "--prompt", "a.pt"], ["--prompt", "-pa", "a.pt"],
        ["--match=a", "--", "--match=b"],
    ],
)  # fmt: skip
def test_flags_that_may_be_repeated_are_accepted(charrnn, words):
    told = f"charrnn: {words[-1]}: no such file; `charrnn train TEXT` writes one\n"
    assert charrnn("sample", *words).stderr == told


@pytest.mark.parametrize("words", ["--match a --match b", "-rnn_size 9", "a.pt b.pt c.pt"])
def test_word_is_completed_after_an_invalid_one(charrnn, words):
    completed = complete(charrnn, f"charrnn sample {words} --temp")
    assert (completed.text.split(), completed.stderr) == (["--temperature"], "")


@pytest.mark.parametrize("words", ["words.txt", "generate a.pt", "nothing"])
def test_unknown_command_completes_nothing_silently(charrnn, tmp_path, words):
    (tmp_path / "words.txt").write_text("verse")
    completed = complete(charrnn, f"charrnn {words} --te")
    assert (completed.text.split(), completed.stderr) == ([], "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        *((f"train --{name} ", words) for name, words in CHOICES.items()),
        ("train --cell r", ("rnn", "rnn-relu")),
        ("sample a.pt --unknown ", ("error", "skip", "nearest")),
        ("sample a.pt --device ", ("cpu", "cuda")),
        ("inspect a.pt --unknown ", ("count", "skip", "nearest", "error")),
        ("inspect a.pt --by l", ("line",)),
        ("train --out ", ()),
    ],
)
def test_choices_of_a_flag_are_completed(charrnn, line, words):
    completed = complete(charrnn, f"charrnn {line}")
    assert (tuple(completed.text.split()), completed.stderr) == (words, "")


def complete(charrnn, line):
    """The completions that a shell gets for the last word of a line."""
    told = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return charrnn(env=told)


def test_file_in_place_of_a_command_suggests_one(charrnn, trained, tmp_path):
    (tmp_path / "A  poem.txt").write_text("verse")
    (tmp_path / "poems").mkdir()
    (tmp_path / "a.pt").write_bytes((trained / "words.pt").read_bytes())
    for path, told in {
        "A  poem.txt": "is a file, not a command; `charrnn train 'A  poem.txt'` learns from it",
        "poems": "is a folder, not a command; `charrnn train poems` learns from it",
        "a.pt": "is a checkpoint, not a command; `charrnn sample a.pt` writes, and `charrnn inspect a.pt` shows",
    }.items():
        refused = charrnn(path)
        assert (refused.code, refused.stderr) == (2, f"charrnn: {path} {told}; `charrnn -h` tells more\n")


@pytest.mark.parametrize(
    ("words", "flags"), [("help", "--help"), ("help train", "train --help"), ("help help", "--help")]
)
def test_word_help_prints_help(charrnn, words, flags):
    helped = charrnn(*words.split())
    assert (helped.code, helped.text) == (0, charrnn(*flags.split()).text)
    assert helped.text.startswith("Usage: charrnn")


def test_help_is_printed_despite_invalid_flags(charrnn):
    assert charrnn("sample", "-p", "a", "-p", "b", "-h").text.startswith("Usage: charrnn sample")


def test_every_synonym_leads_to_an_existing_flag_and_is_none():
    flags = {flag for module in (train, sample, inspection) for flag in flags_of(module)}
    assert set(mistakes.SYNONYMS) <= flags
    assert not {f"--{name}" for names in mistakes.SYNONYMS.values() for name in names.split()} & flags
    assert {told.split()[0] for told in mistakes.COMMANDS_ELSEWHERE.values()} <= set(COMMANDS)
    for hints in HINTS.values():
        assert set(re.findall(r"(?<![\w-])--\w[\w-]*", " ".join(hints.values()))) <= flags


@pytest.mark.parametrize(
    ("module", "function", "words", "told"),
    [
        ("charrnn.cli.sampler.preparing", "prepare_job", "sample a.pt", "lower --length or --num-samples"),
        (
            "charrnn.cli.trainer.entry_point",
            "run_training",
            "train a.txt",
            "lower --hidden-size, --batch-size or --seq-len",
        ),
        ("charrnn.cli.inspector.subject", "read_subjects", "inspect a.pt", "give it less text"),
    ],
)
def test_out_of_memory_names_existing_flags_of_the_command(tmp_path, module, function, words, told):
    script = f"import sys, {module} as module\nfrom charrnn.cli import main\ndef fail(*_, **__): raise MemoryError\n"
    script += f"module.{function} = fail\nsys.argv[1:] = {words.split()}\nmain()"
    (tmp_path / "a.txt").write_text("verse " * 99)
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (1, "", f"charrnn: out of memory; {told}\n")


def test_out_of_memory_while_loading_is_reported_in_one_line(trained):
    script = (
        "import sys\nfrom charrnn.cli import main\n"
        "class Full:\n"
        "    is_full = False\n"
        "    def find_spec(self, name, *_):\n"
        "        self.is_full |= name == 'charrnn.cli.sampler.preparing'\n"
        "        if self.is_full: raise MemoryError\n"
        "sys.meta_path.insert(0, Full())\nsys.argv[1:] = ['sample', 'words.pt']\nmain()"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=trained, capture_output=True, text=True)
    told = "charrnn: out of memory; lower --length or --num-samples\n"
    assert (run.returncode, run.stdout, run.stderr) == (1, "", told)


def test_out_of_memory_while_pytorch_loads_is_reported(tmp_path):
    script = (
        "import sys\nfrom charrnn.cli import main\n"
        "class Full:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'torch': raise ImportError('libtorch_cpu.so: failed to map segment from shared object')\n"
        "sys.meta_path.insert(0, Full())\nsys.argv[1:] = ['train', 'a.txt']\nmain()"
    )
    (tmp_path / "a.txt").write_text("verse " * 99)
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("charrnn: memory ran out while PyTorch was loaded, before any training; close other ")
    assert len(run.stderr.splitlines()) == 1


def test_missing_numpy_is_reported_in_one_line(trained):
    script = "import sys\nsys.modules['numpy'] = None\nfrom charrnn.cli import main\nmain()"
    command = [sys.executable, "-c", script, "sample", "words.pt", "-n", "9", "-q"]
    run = subprocess.run(command, cwd=trained, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    told = "numpy is needed here and is not installed; run `pip install .` in a clone of charrnn"
    assert run.stderr == f"charrnn: {told}\n"


def test_missing_pytorch_is_reported_in_one_line(tmp_path):
    script = "import sys\nsys.modules['torch'] = None\nfrom charrnn.cli import main\nmain()"
    (tmp_path / "a.txt").write_text("verse " * 999)
    command = [sys.executable, "-c", script, "train", "a.txt", "-q", "--max-steps", "3"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    told = "PyTorch is needed here and is not installed; run `pip install .` in a clone of charrnn"
    assert run.stderr == f"charrnn: {told}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"], "nothing is left behind"


@pytest.mark.parametrize("module", ["charrnn.cli", "typer", "charrnn.cli.sample", "charrnn.inference"])
def test_ctrl_c_while_modules_load_is_silent(trained, module):
    script = (
        "import sys\nfrom charrnn.__main__ import main\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\nmain()"
    )
    command = [sys.executable, "-c", script, "sample", "words.pt", "-n", "9", "-q"]
    run = subprocess.run(command, cwd=trained, capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr.strip()) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="there every user has a home")
def test_install_completion_without_a_home_folder_is_reported_in_one_line(charrnn):
    result = charrnn("--install-completion", "bash", prepare=leave_home)
    assert (result.code, result.text) == (1, "")
    assert result.stderr == "charrnn: there is no home folder; set HOME to one\n"


SHELLS_TOLD = "name one of bash, zsh, fish, powershell or pwsh, as in `charrnn {} bash`; `charrnn -h` tells more\n"


@pytest.mark.parametrize(
    ("shell", "of_its_own"),
    [("bash", "COMPREPLY"), ("fish", "complete --command charrnn"), ("zsh", "#compdef"), ("pwsh", "PSReadLine")],
)
def test_completion_script_is_for_the_named_shell(charrnn, shell, of_its_own):
    for line in (["--show-completion", shell], [f"--show-completion={shell}"]):
        shown = charrnn(*line)
        assert (shown.code, shown.stderr) == (0, "")
        assert of_its_own in shown.text


def test_completion_is_installed_only_for_the_named_shell(charrnn, tmp_path):
    installed = charrnn("--install-completion", "fish", env={"HOME": str(tmp_path)})
    assert (installed.code, installed.stderr) == (0, "")
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert [*map(str, files)] == [os.path.join(".config", "fish", "completions", "charrnn.fish")]


@pytest.mark.parametrize("flag", ["--show-completion", "--install-completion"])
def test_unknown_shell_for_completion_is_reported_in_one_line(charrnn, tmp_path, flag):
    home = {"HOME": str(tmp_path)}
    refused = charrnn(flag, "nosuch", env=home)
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr == f"charrnn: {flag}: no completion for nosuch; {SHELLS_TOLD.format(flag)}"
    refused = charrnn(flag, env=home, prepare=leave_shell)
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr == f"charrnn: {flag}: the shell is not known here; {SHELLS_TOLD.format(flag)}"


def test_completion_for_a_shell_that_is_missing_is_reported_in_one_line(charrnn, tmp_path):
    refused = charrnn("--install-completion", "pwsh", env={"HOME": str(tmp_path), "PATH": str(tmp_path)})
    assert (refused.code, refused.text) == (1, "")
    assert refused.stderr == "charrnn: pwsh is not installed here, or not in PATH; name the shell that you use\n"


@pytest.mark.parametrize("line", [["--show-completion", "--help"], ["help", "--show-completion"]])
def test_flag_beside_that_for_completion_is_no_shell(charrnn, line):
    shown = charrnn(*line)
    assert (shown.code, shown.stderr) == (0, "")
    assert shown.text.startswith("Usage: charrnn")


def test_startup_file_that_is_not_utf8_is_reported_and_kept(charrnn, tmp_path):
    startup = tmp_path / ".bashrc"
    startup.write_bytes(b"# caf\xe9\n")
    refused = charrnn("--install-completion", "bash", env={"HOME": str(tmp_path), "PYTHONUTF8": "1"}, cold=True)
    assert (refused.code, refused.text) == (1, "")
    assert refused.stderr == (
        "charrnn: the startup file of your shell is not UTF-8; save what `charrnn --show-completion` prints, "
        "and have your shell read it\n"
    )
    assert startup.read_bytes() == b"# caf\xe9\n"


def leave_shell():
    """The program has no shell as a parent, as in a container."""
    import shellingham

    def find_none():
        raise shellingham.ShellDetectionFailure

    shellingham.detect_shell = find_none


def leave_home():
    """The user id has no entry in the password file, as in some containers."""
    import pwd

    os.environ.pop("HOME")
    pwd.getpwuid = {}.__getitem__


def test_no_arguments_print_help(charrnn):
    helped = charrnn()
    assert (helped.code, helped.text) == (2, "")
    assert helped.stderr.startswith("Usage: charrnn")
    assert "".join(f"  {line}\n" for line in EXAMPLES) in helped.stderr
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "".join(f"{line}\n" for line in EXAMPLES) in readme, "it begins as the README does"


@pytest.mark.parametrize("words", [[], ["train"], ["sample"], ["inspect"]])
def test_help_is_the_same_without_docstrings(charrnn, words):
    whole, stripped = (charrnn(*words, "--help", cold=True, env={"PYTHONOPTIMIZE": level}) for level in ("", "2"))
    assert (stripped.code, stripped.text, stripped.stderr) == (0, whole.text, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_breaks_no_flag_or_value_at_a_hyphen(charrnn, command):
    helped = charrnn(command, "--help", env={"COLUMNS": "50"}).text
    assert not [line for line in helped.splitlines() if re.search(r"\S-$", line)], "but for one that stands for stdin"
    assert "\N{NON-BREAKING HYPHEN}" not in helped, "what is shown can be copied"


@pytest.mark.parametrize("words", [[], ["train"], ["sample"], ["inspect"]])
def test_help_fits_a_narrow_terminal_uncut(charrnn, words):
    helped = charrnn(*words, "--help", env={"COLUMNS": "40"}).text
    laid_out = helped.partition("\nExamples:\n")[0]
    assert max(map(len, laid_out.splitlines())) < 40
    wide = charrnn(*words, "--help", env={"COLUMNS": "80"}).text.partition("\nExamples:\n")[0]
    assert laid_out.split() == wide.split()
    flag = "--help" if words else "--version"
    assert re.search(rf"^  .*{flag}\n      Show ", laid_out, re.M), "the text stands under the flag"


def flags_of(module):
    """The long flags of a command."""
    function = getattr(module, {"charrnn.cli.inspection": "inspect"}.get(module.__name__, module.__name__[12:]))
    options = [hint.__metadata__[0] for hint in function.__annotations__.values() if hasattr(hint, "__metadata__")]
    declared = [name for option in options for name in (option.default, *(option.param_decls or ()))]
    named = [f"--{name.replace('_', '-')}" for name in function.__annotations__]
    return {name for name in (*declared, *named) if str(name).startswith("--")}


@pytest.mark.parametrize("module", [train, sample, inspection])
def test_help_lists_every_flag_once_in_the_order_of_the_readme(charrnn, module):
    name = "inspect" if module is inspection else module.__name__.split(".")[-1]
    helped = charrnn(name, "--help").text
    titles = [line.rstrip(":") for line in helped.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] == "Arguments"
    assert [title for title in titles[1:] if title != "Options"] == [*module.PARTS.values(), "Examples"]
    assert helped.rstrip().endswith(module.EXAMPLES[-1])
    flags = re.findall(r"^(\w.*):$|^  (?:-\w, )?(--[a-z0-9-]+)", helped, re.M)
    table = (ROOT / "README.md").read_text(encoding="utf-8").split(f"### `charrnn {name}")[1].split("\n\n|")[1]
    listed = re.findall(r"^\| \*\*(.*?)\*\*|^\| (.*?) \|", table.split("\n\n")[0], re.M)
    rows = [(title, flag) for title, flags in listed for flag in re.findall(r"`(--[a-z0-9-]+)`", flags) or [""]]
    rows = [(title, flag) for title, flag in rows if (title or flag) and not flag.startswith("--no-")]
    shown = [
        (title, flag) for title, flag in flags if title not in ("Arguments", "Options", "Examples") and flag != "--help"
    ]
    assert [pair for pair in shown if not pair[1].startswith("--no-")] == rows
    assert len({flag for _, flag in shown if flag}) == len([flag for _, flag in shown if flag])


def test_flag_without_its_value_is_not_an_unknown_flag(charrnn):
    """Somebody may type -T for the temperature, which is -t."""
    refused = charrnn("sample", "a.pt", "-t")
    assert refused.code == 2
    assert refused.stderr.startswith("charrnn: option '-t' requires an argument")
    assert charrnn("sample", "a.pt", "-T", 1).stderr.startswith("charrnn: no such option: -T; the temperature is -t")
