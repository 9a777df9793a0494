import codecs
import encodings
import gzip
import itertools
import re
import unicodedata
from pkgutil import iter_modules

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.config import CHOICES, config_from_dict
from charrnn.errors import ConfigError, DecodingError
from charrnn.text.advice import OTHER_ENCODING, SCRIPTS
from charrnn.text.decoding import TextPreparer, decode_document, prepare
from charrnn.text.kinds import DOCUMENTS, LONGEST_HEAD, PACKED, kind_without_text
from charrnn.text.misread import FirstLook, holds_utf8
from charrnn.text.options import TextOptions

TRICKY = "a\r\n\u0301\u0300\u1100\u1161\u11a8\uac00ﬁ\u00c5Σσςa'.\u0130\uff76\uff9e\u0b47\u0b3e\u1e9b\u0323\U0001f3ba"
OPTIONS = st.builds(
    TextOptions,
    newline=st.sampled_from(["keep", "lf"]),
    normalize=st.sampled_from(["none", "nfc", "nfkc"]),
    lowercase=st.booleans(),
)
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива. "
ARABIC = "كل الناس يولدون أحرارا متساوين في الكرامة والحقوق "
CHINESE, JAPANESE = "春天的风吹过山谷，老人坐在门前。", "昨日の夜はとても静かでしたカタカナ。"
KOREAN = "안녕하세요 나는 학교에 갑니다."
SANGUO = "話說天下大勢，分久必合，合久必分：周末七國分爭，并入於秦；及秦滅之後，楚、漢分爭，又并入於漢。"
TANG = "空山不見人，但聞人語響。返景入深林，復照青苔上。千山鳥飛絕，萬徑人蹤滅。孤舟簑笠翁，獨釣寒江雪。"
MESSAGES = "エラー: ファイル '%s' オープン失敗。ディレクトリ指定エラー。オプション '-x' 使用不可。プロセス終了。"
ENCODINGS = [
    "utf-8", "utf-16", "utf-16-be", "utf-32", "utf-7", "gb18030", "gbk", "hz", "big5", "big5hkscs", "shift_jis",
    "cp932", "euc_jp", "iso2022_jp", "euc_kr", "johab", "iso2022_kr", "cp1252",
]  # fmt: skip
PARTS = st.one_of(
    st.text("aé漢字한ｱ~+\r\n", max_size=3),
    st.binary(max_size=3),
    st.sampled_from([b"\xe18", b"\xe18\xe1", b"\x8f\n", b"~", b"~{", b"+AG", b"\xd8\0", b"\x1b$", b"\x1b$B"]),
    st.integers(1, 20).map(lambda length: b"\x1b(" + length * b"a"),
)
"""Text, any bytes, and what some encoding takes for a character, an escape or another alphabet that has no end yet."""


def pieces_of(whole, cuts):
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[left:right] for left, right in itertools.pairwise(places)]


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters()), max_size=40), st.lists(st.integers(0, 40)), OPTIONS)
@example("\u1100\u1161\u11a8", [1, 2], TextOptions(normalize="nfc"))
@example("e\u0301", [1], TextOptions(normalize="nfc"))
@example("e\u0300", [1], TextOptions(normalize="nfc"))
@example("\uff76\uff9e", [1], TextOptions(normalize="nfkc"))
@example("\r\n\r", [1], TextOptions(newline="lf"))
@example("ΟΔΟΣ", [3], TextOptions(lowercase=True))
@example("ΟΔΟΣ ΟΔΟΣ", [3, 4, 8], TextOptions(lowercase=True))
@example("ΟΔΟΣ'.ΕΣ'.", [4, 5, 6, 9], TextOptions(lowercase=True))
@example("ΑΣΣ", [2], TextOptions(lowercase=True))
@example("ΑΣ\u0301Α", [2, 3], TextOptions(lowercase=True, normalize="nfc"))
def test_preparing_in_pieces_equals_preparing_the_whole(text, cuts, options):
    preparer = TextPreparer(options)
    pieces = [preparer.feed(piece) for piece in pieces_of(text, cuts)]
    assert "".join([*pieces, preparer.feed("", final=True)]) == prepare(text, options)


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters())))
def test_preparing_follows_unicode(text):
    assert prepare(text, TextOptions()) == text
    assert prepare(text, TextOptions(normalize="nfc")) == unicodedata.normalize("NFC", text)
    assert prepare(text, TextOptions(normalize="nfkc")) == unicodedata.normalize("NFKC", text)
    assert prepare(text, TextOptions(newline="lf")) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert prepare(text, TextOptions(lowercase=True)) == text.lower()


@given(st.text(st.one_of(st.sampled_from(TRICKY + "𝐁™ℌ℃"), st.characters())))
@example("T\u0308")
def test_normalized_and_lowercased_text_is_lowercase_and_normal(text):
    for form in ("NFC", "NFKC"):
        prepared = prepare(text, TextOptions(normalize=form.lower(), lowercase=True))
        assert prepared == prepared.lower()
        assert prepared == unicodedata.normalize(form, prepared)
    assert prepare("𝐁old Brand™ ℃", TextOptions(normalize="nfkc", lowercase=True)) == "bold brandtm °c"


@pytest.mark.parametrize(
    ("text", "kept_back"),
    [("ΟΔΟΣ", "Σ"), ("ΟΔΟΣ.\u0301'", "Σ.\u0301'"), ("ΟΔΟΣ ", ""), ("ΟΔΟΣΕ", ""), ("οδος", ""), ("Tin.", "")],
)
def test_lowercasing_holds_back_only_a_possible_final_sigma(text, kept_back):
    given = TextPreparer(TextOptions(lowercase=True)).feed(text)
    assert given == text.lower()[: len(text) - len(kept_back)]


def test_normalizing_holds_back_only_a_letter_with_its_accents():
    preparer = TextPreparer(TextOptions(normalize="nfc"))
    assert preparer.feed("cafe") == "caf"
    assert preparer.feed("\u0301 noir") == "é noi"


def test_characters_joined_by_a_later_unicode_are_kept_together():
    preparer = TextPreparer(TextOptions(normalize="nfc"))
    assert preparer.feed("a\U00016d40\U00016d63") == "a"
    assert preparer.feed("\U00016d67 ") == unicodedata.normalize("NFC", "\U00016d40\U00016d63\U00016d67")


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(st.lists(PARTS, max_size=6), st.lists(st.integers(0, 40)), st.sampled_from(CHOICES["errors"]))
@example([b"\x83\xe21\xe18"], [], "surrogateescape")
@example([b"\x8f\n"], [1], "surrogateescape")
@example([b"\x1b(aaaaaaa"], [3], "replace")
@example([b"\x1b(aaaaaaa", b"aaaaaaaa"], [9], "strict")
def test_decoding_in_pieces_equals_decoding_the_whole(encoding, parts, cuts, errors):
    rest = b"".join(part if isinstance(part, bytes) else part.encode(encoding, "ignore") for part in parts)
    head = (LONGEST_HEAD * "a").encode(encoding)  # pieces before so many bytes are put together
    found = outcome([head, *pieces_of(rest, cuts)], encoding=encoding, errors=errors)
    whole = head + rest
    try:
        text, told = whole.decode(encoding, errors), ""
    except UnicodeDecodeError as error:
        bad = whole[error.start : error.end].hex(" ")
        told = f"t: not valid {encoding.upper()} at byte {error.start:,} (0x{bad:.23}); "
    assert found.startswith(told) if told else found == text


def is_taken(encoding):
    try:
        return bool(TextOptions(encoding=encoding))
    except ConfigError:
        return False


@pytest.mark.parametrize("encoding", [*filter(is_taken, (one.name for one in iter_modules(encodings.__path__)))])
def test_every_encoding_decodes_the_same_wherever_it_is_cut(encoding):
    text = LONGEST_HEAD * "a" + "b~+\r\n-abé漢字한."
    data = text.encode(encoding, "ignore") + b"\\101\\x41\\u0041"
    for cut in range(LONGEST_HEAD, len(data)):
        pieces = [data[:cut], data[cut:]]
        assert decode(pieces, encoding=encoding, errors="replace") == data.decode(encoding, "replace")


def decode(pieces, *, mend="", **options):
    return "".join(decode_document(pieces, "t", TextOptions(**options), mend=mend))


def outcome(pieces, **options):
    try:
        return decode(pieces, **options)
    except DecodingError as error:
        return str(error)


def test_byte_order_mark_in_pieces_is_dropped():
    assert outcome([b"\xef", b"\xbb", b"\xbfa"]) == "a"


def test_byte_order_mark_inside_a_text_is_kept():
    pieces = ["\ufeff" + 300 * "a", "\ufeffb", "", "\ufeff"]
    assert outcome([piece.encode() for piece in pieces]) == 300 * "a" + "\ufeffb\ufeff"


@pytest.mark.parametrize("text", ["hello", CHINESE * 9])
def test_utf16_without_a_mark_asks_for_the_byte_order(text):
    data = text.encode("utf-16-le")
    for name in ("utf-16", "utf16", "U16"):
        told = outcome([data], encoding=name)
        assert told.endswith("does not start with BOM; name its byte order: --encoding utf-16-le")
    assert decode([data], encoding="utf-16-le") == text


@pytest.mark.parametrize("errors", CHOICES["errors"])
@pytest.mark.parametrize("marked", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("read", ["utf-16-le", "UTF-16BE", "utf_32_le", "utf-32-be"])
def test_mark_of_another_byte_order_is_refused(marked, read, errors):
    data, codec, kind = "\ufeffhello".encode(marked), codecs.lookup(read).name, marked[:-3]
    for pieces in ([data], [data[:1], data[1:3], data[3:]]):
        if marked == codec:
            assert decode(pieces, encoding=read, errors=errors) == "hello"
        elif (marked, codec) == ("utf-32-le", "utf-16-le"):  # it may begin with a NUL
            assert decode(pieces, encoding=read, errors=errors) == "\0" + "".join(f"{letter}\0" for letter in "hello")
        else:
            told = f"t: is marked at its beginning as {marked.upper()}, not {codec.upper()}; "
            assert outcome(pieces, encoding=read, errors=errors) == f"{told}give --encoding {kind}"
            with pytest.raises(DecodingError, match=f"^{told}mend it$"):
                decode(pieces, encoding=read, errors=errors, mend="mend it")
        assert decode(pieces, encoding=kind, errors=errors) == "hello"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            "“So,” he said, “it is café noir.”".encode("cp1252"),
            "it has no NUL bytes either, as that has; name the right",
        ),
        ("“So,” he said, “it is café noir.”".encode(), "it is valid UTF-8: give --encoding utf-8"),
        (b"So, he said, it is black.", "it is valid UTF-8: give --encoding utf-8"),
        ("Так сказал он".encode("utf-16-le"), "name its byte order: --encoding utf-16-le or -be"),
        ("春は、あけぼの。やうやう".encode("utf-16-be"), "name its byte order: --encoding utf-16-le or -be"),
    ],
)
def test_byte_order_is_not_suggested_for_text_that_cannot_be_wide(data, told):
    with pytest.raises(DecodingError) as caught:
        decode([data], encoding="utf-16")
    assert str(caught.value).startswith(f"t: UTF-16 stream does not start with BOM; {told}")


@pytest.mark.parametrize(
    "error",
    [
        UnicodeError("UTF-16 stream does not start with BOM"),
        UnicodeDecodeError("utf-16", b"-N", 0, 2, "Stream does not start with BOM"),
    ],
    ids=["until Python 3.12", "since Python 3.13"],
)
def test_missing_mark_is_reported_alike_by_every_python(monkeypatch, error):
    class Decoder(codecs.getincrementaldecoder("utf-16")):
        def decode(self, data, final=False):
            raise error

    monkeypatch.setattr(codecs, "getincrementaldecoder", lambda encoding: Decoder)
    with pytest.raises(DecodingError) as caught:
        decode(["中文".encode("utf-16-le")], encoding="utf-16")
    told = "t: UTF-16 stream does not start with BOM; name its byte order: --encoding utf-16-le or -be"
    assert str(caught.value) == told


def test_safetensors_file_is_named_however_it_is_cut():
    data = (300).to_bytes(8, "little") + b'{"embedding.weight":' + bytes(300)
    for chunks in ([data], [data[:3], data[3:]]):
        with pytest.raises(DecodingError, match=r"^t: holds the weights of a model \(safetensors\), not text; give"):
            decode(chunks)
    assert decode([data], errors="replace").endswith("\0")


@pytest.mark.parametrize(
    ("head", "kind", "mend"),
    [
        (
            b"PK\x03\x04\xff",
            "a zip archive, as Word",
            "unpack it (unzip) or, if it is a document, save it as that, in UTF-8",
        ),
        (b"%PDF-1.4\n", "a PDF document", "save it as that, in UTF-8"),
        (b"{\\rtf1 text}", "a rich-text document", "save it as that, in UTF-8"),
    ],
)
def test_document_of_another_program_is_named(head, kind, mend):
    with pytest.raises(DecodingError, match=rf"^t: is {kind}.*, not plain text; {re.escape(mend)}$"):
        decode([head])
    with pytest.raises(DecodingError, match="not plain text"):
        decode([head[:2], head[2:3], head[3:]])
    assert decode([b"a ", head], errors="replace").startswith("a ")
    assert decode([head], unit="byte").encode("latin-1") == head


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"Rar!\x1a\x07\x01\0\x92", "packed by RAR"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "packed by 7-Zip"),
        (b"\x04\x22\x4d\x18\x64\x40\xa7", "compressed by LZ4"),
        (b"\x1f\x9d\x90", "compressed by compress (.Z)"),
    ],
)
def test_file_that_charrnn_cannot_unpack_is_named(head, kind, encoding):
    assert outcome([head[:1], head[1:], b"noise"], encoding=encoding) == f"t: is {kind}; unpack it"
    assert decode([head], unit="byte").encode("latin-1") == head
    assert outcome(["\u9d1f".encode("utf-16-le")], encoding="utf-16-le") == "\u9d1f", "whose bytes are those of .Z"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture (PNG)"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture (JPEG)"),
        (b"GIF89a\x10\0\x10\0", "a picture (GIF)"),
        (b"ID3\x03\0\0", "sound (MP3)"),
        (b"\0\0\0\x20ftypisom", "a film or sound (MP4)"),
        (b"\x7fELF\x02\x01\x01\0", "a program (ELF)"),
        (b"MZ\x90\0\x03\0", "a program for Windows"),
    ],
)
def test_pictures_sound_and_programs_are_named_in_any_encoding(head, kind):
    for encoding in ("utf-8", "latin-1"):
        for pieces in ([head + bytes(300)], [head[:2], head[2:], bytes(300)]):
            with pytest.raises(DecodingError, match=f"^t: is {re.escape(kind)}, not text; give a text file$"):
                decode(pieces, encoding=encoding)
    assert decode([head], unit="byte").encode("latin-1") == head


@pytest.mark.parametrize("text", ["MZ is short for Mozambique", "ID3 stands before a song", "GIF89a", "BM", "RIFF"])
def test_text_that_begins_like_a_picture_is_accepted(text):
    assert decode([text.encode()]) == text
    with pytest.raises(DecodingError, match=r"if it is Windows-1252 or Latin-1, give --encoding windows-1252 \("):
        decode([text.encode() + b"\xe9"])
    with_nul = f"{text:40}\0"
    assert decode([with_nul.encode()]) == with_nul
    wide = f"{text}\u5a4d".encode("utf-16-le") + b"\0\0"
    assert decode([b"MZ", wide], encoding="utf-16-le") == f"\u5a4d{text}\u5a4d\0"


@pytest.mark.parametrize("mend", ["", "mend it"])
def test_invalid_bytes_with_nul_bytes_are_reported_as_no_text(mend):
    told = "so that it is no text (a picture, a program, ...); give a text file"
    if not mend:
        told = "as UTF-16 does (--encoding utf-16-le or utf-16-be) and what is no text, such as a picture or a program"
    with pytest.raises(
        DecodingError, match=f"^t: not valid UTF-8 at byte 5 .*; it holds NUL bytes,? {re.escape(told)}$"
    ):
        decode([b"abc\0d\xe9", bytes(9)], mend=mend)


def test_single_nul_byte_does_not_make_a_text_binary():
    with pytest.raises(DecodingError, match="; if it is Windows-1252 or Latin-1, give --encoding windows-1252"):
        decode([b"caf\xe9 " * 30 + b"\0" + b"caf\xe9 " * 30])


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf16_without_a_mark_is_suggested(order):
    data = ("Caf\xe9 " * 9).encode(f"utf-16-{order}")
    told = f"; if it is UTF-16 without a mark, give --encoding utf-16-{order}$"
    with pytest.raises(DecodingError, match=told):
        decode([data])
    assert decode([data], encoding=f"utf-16-{order}") == "Caf\xe9 " * 9


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("text", [RUSSIAN, "Caf\xe9 ", "\U0001f469\u200d\U0001f4bb "])
def test_utf32_without_a_mark_is_suggested(text, order):
    data, other = (text * 9).encode(f"utf-32-{order}"), "be" if order == "le" else "le"
    for encoding in ("utf-16", f"utf-32-{other}", *(["utf-32"] if order == "be" else [])):
        assert outcome([data], encoding=encoding).endswith(f"give --encoding utf-32-{order}")
    if order == "le":
        told = "t: UTF-32 stream does not start with BOM; name its byte order: --encoding utf-32-le"
        assert outcome([data], encoding="utf-32") == told
    assert outcome([data], encoding=f"utf-32-{order}") == text * 9


def test_tar_archive_is_refused_with_a_remedy():
    head = b"a.txt".ljust(257, b"\0") + b"ustar  "
    for pieces in ([head], [head[:100], head[100:259], head[259:]]):
        with pytest.raises(DecodingError, match=r"^t: is a tar archive; unpack it \(tar -xf\) and give the folder$"):
            decode(pieces)
    assert decode([head], errors="replace") == head.decode()
    assert decode([head], unit="byte") == head.decode()


def test_twice_compressed_data_is_refused_with_a_remedy():
    head = gzip.compress(b"a text", mtime=0)
    for errors in CHOICES["errors"]:
        with pytest.raises(DecodingError, match=r"^t: is compressed twice; unpack it once \(.* still so, by gzip\)$"):
            decode([head], errors=errors)
    assert decode([head], unit="byte") == head.decode("latin-1")
    assert decode([head[:10]], encoding="utf-16-le") == head[:10].decode("utf-16-le"), "there it may be any text"


LATIN = "Windows-1252 or Latin-1"
"""What is printed in one of them stands in the first too."""


@pytest.mark.parametrize(
    ("text", "encoding", "likely"),
    [
        ("hello", "utf-16", "UTF-16"),
        ("hello", "utf-32", "UTF-32"),
        ("\ufeffhello", "utf-32-be", "UTF-32"),
        ("caf\xe9", "latin-1", LATIN),
        ("it’s", "cp1252", LATIN),
        ("a\xa0", "latin-1", LATIN),
        ("«\xa0Où vas-tu\xa0?\xa0» dit-il. «\xa0Je reste\xa0!\xa0» Le soir tombait. ", "latin-1", LATIN),
        ("“…no, I can’t go on like this…” She sat by the window. “…perhaps…” ", "cp1252", LATIN),
        ("Die Größe der Straße. Ein süßer Gruß, die Füße. ", "latin-1", LATIN),
        ("Für „Müßiggänger“ – und …", "cp1252", LATIN),
        ("schöne Mädchen über Maß, la vérité créée", "latin-1", LATIN),
    ],
)
def test_invalid_bytes_suggest_the_likely_encoding(text, encoding, likely):
    others = f" ({OTHERS})" if likely == LATIN else ""
    name = likely.lower().partition(" ")[0]
    passing = ", or pass over such bytes with --errors replace" if likely == LATIN else ""  # else NULs would stay
    told = re.escape(f"; if it is {likely}, give --encoding {name}{others}{passing}")
    with pytest.raises(DecodingError, match=f"{told}$"):
        decode([text.encode(encoding)])
    assert decode([text.encode(encoding)], encoding=name) == text.removeprefix("\ufeff")


OTHERS = "Czech, Polish, Hungarian: windows-1250; Turkish: windows-1254"


IN_OTHER_LETTERS = [
    (CHINESE, "gb18030", "gb18030"),
    ("這是一個不大的地方，我們在那裡有人。", "big5", "big5hkscs"),
    (SANGUO, "big5", "big5hkscs"),
    (SANGUO, "gb18030", "gb18030"),
    (TANG, "big5", "big5hkscs"),
    (TANG, "gb18030", "gb18030"),
    (MESSAGES, "shift_jis", "cp932"),
    (MESSAGES, "euc_jp", "euc-jp"),
    (JAPANESE, "shift_jis", "cp932"),
    (JAPANESE, "euc_jp", "euc-jp"),
    (f"{JAPANESE}①", "euc_jis_2004", "euc_jis_2004"),
    (KOREAN, "cp949", "cp949"),
    (RUSSIAN, "cp1251", "windows-1251"),
    (RUSSIAN, "mac-cyrillic", "mac-cyrillic"),
    (RUSSIAN, "koi8-r", "koi8-u"),
    ("Привіт, світе! Це звичайний текст українською мовою, який потрібен її ґанку. ", "koi8-u", "koi8-u"),
    (RUSSIAN, "cp866", "cp866"),
    ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια. ", "cp1253", "windows-1253"),
    ("בראשית ברא אלהים את השמים ואת הארץ והארץ היתה תהו ובהו ", "cp1255", "windows-1255"),
    (ARABIC, "cp1256", "windows-1256"),
    (ARABIC, "iso8859-6", "iso8859-6"),
    ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ", "tis-620", "cp874"),
    ("“ภาษาไทย” เป็นภาษาที่ใช้กันในประเทศไทย และการเขียนก็ไม่มีช่องว่างระหว่างคำ… ", "cp874", "cp874"),
]
"""Texts, the encoding of each, and what that is called in advice."""


@pytest.mark.parametrize(("text", "encoding", "told"), IN_OTHER_LETTERS)
def test_runs_of_invalid_bytes_suggest_the_encoding_of_their_letters(text, encoding, told):
    data = (text * 9).encode(encoding)
    assert f"; name its --encoding, probably {told}, or pass over" in outcome([data])
    for other in ("ascii", "iso2022_jp"):
        assert f"; name the right --encoding, probably {told}, or pass over" in outcome([data], encoding=other)
    assert outcome([data], encoding=told) == text * 9


@pytest.mark.parametrize(
    "text",
    [
        "Les élèves étaient déjà arrivés à l'école quand la maîtresse, fatiguée, a été appelée près de la fenêtre. ",
        "Här är det så att människor går på gatorna när våren kommer, och fåglarna sjöng för flickan på sjön. ",
        "Der var så dejligt ude på landet; kornet stod gult, høet var rejst, og søer så små at børn var på ager. ",
    ],
)
def test_latin_letters_suggest_no_other_script(text):
    for other in ("ascii", "utf-8-sig"):
        told = outcome([(text * 9).encode("latin-1")], encoding=other)
        assert told.endswith("; name the right --encoding, or pass over such bytes with --errors replace")


@pytest.mark.parametrize("text", [RUSSIAN[:30], "".join(map(chr, range(0x4E00, 0x4E90))), CHINESE[:9]])
def test_runs_of_invalid_bytes_do_not_suggest_latin(text):
    data = text.encode("gb18030")
    told = f"); name its --encoding, such as {SCRIPTS}, or pass over such bytes with --errors replace"
    assert outcome([data]).endswith(told)


@pytest.mark.parametrize(
    ("text", "read", "told"),
    [
        (JAPANESE.encode("cp932") * 9 + b"\xff", "shift_jis", "if it is cp932, which has more characters, give"),
        (JAPANESE.encode("cp932") + b"\xff", "shift_jis", "if it is cp932, which has more characters, give"),
        (
            JAPANESE.encode("euc_jp") * 9 + b"\xff",
            "shift_jis",
            "name the right --encoding, probably euc-jp, or pass over",
        ),
        (CHINESE.encode("gb18030") * 200 + b"\xff\xff", "gb18030", "name the right --encoding, or pass over"),
    ],
)
def test_larger_encoding_is_suggested_unless_another_is_likelier(text, read, told):
    assert f"; {told}" in outcome([text], encoding=read)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Bütün insanlar hür doğar; akıl ve vicdana sahiptirler. ", "windows-1254"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy; starý dobrý kraj, malý dům. ", "windows-1250"),
        ("Zażółć gęślą jaźń; dzień dobry, ścieżka przez łąkę. ", "windows-1250"),
    ],
)
def test_latin_letters_of_other_languages_suggest_their_encodings(text, encoding):
    with pytest.raises(DecodingError, match=f"{OTHERS}\\), or pass") as caught:
        decode([(text * 90).encode(encoding)])
    assert f": {encoding}" in str(caught.value)


def test_utf16_with_few_nul_bytes_is_suggested():
    with pytest.raises(
        DecodingError, match=r"it holds NUL bytes, as UTF-16 does \(--encoding utf-16-le or utf-16-be\) "
    ):
        decode([(JAPANESE + "abc\n").encode("utf-16-le")])


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [CHINESE, TANG, JAPANESE, KOREAN, RUSSIAN, JAPANESE + "abc\n", "Café "])
def test_utf16_without_a_mark_is_suggested_with_its_byte_order(text, order):
    data = (text * 9).encode(order)
    for read_in in ("utf-8", "ascii"):
        told = outcome([data + b"\xff\xff"], encoding=read_in)
        assert told.endswith(f"; if it is UTF-16 without a mark, give --encoding {order}")
    assert outcome([data], encoding=order) == text * 9
    told = outcome([data * 99 + "\ud800a".encode(order, "surrogatepass")], encoding=order)
    assert told.endswith("; name the right --encoding, or pass over such bytes with --errors replace")


def test_single_error_in_valid_utf8_suggests_to_fix_it():
    with pytest.raises(DecodingError, match="the text around is valid: mend it there, or pass over such bytes with"):
        decode([CHINESE.encode() * 9, CHINESE.encode()[1:]])


@pytest.mark.parametrize(
    "broken", [b"\xed\xa0\xbd\xed\xb8\x80", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0\x9f\x98\xf0\x9f\x98"]
)
@pytest.mark.parametrize(
    "after", [b" again\n", b"\n" + "Night, a caf\xe9.\n".encode() * 30, b" and \xf0\x9f\x98 again\n"]
)
def test_broken_emoji_suggests_to_fix_it(broken, after):
    with pytest.raises(DecodingError, match="; the text around is valid: mend it there, or pass over such bytes with"):
        decode([b"What a night.\n" * 99 + broken + after])


@pytest.mark.parametrize("sign", ["\u2019", "\N{GRINNING FACE}"])
@pytest.mark.parametrize("distance", range(995, 1004))
def test_character_at_the_edge_of_what_is_examined_does_not_change_the_advice(sign, distance):
    signs = sign.encode()
    for text in (
        b"a" * 99 + signs + b"b" * (distance - len(signs)) + b"\xf0\x9f\x98.\n",
        b"\xf0\x9f\x98" + b"b" * (distance - 3) + signs + b"a" * 99,
    ):
        assert "the text around is valid" in outcome([text])


@pytest.mark.parametrize(
    ("encoding", "for_iconv"),
    [
        ("utf-8", "utf-8"), ("gb18030", "gb18030"), ("cp932", "cp932"), ("utf-16-le", "utf-16le"), ("UTF_16", "utf-16"),
        ("utf-8-sig", "utf-8"), ("eucjp", "euc-jp"), ("iso2022_jp", "iso-2022-jp"), ("iso2022_kr", "iso-2022-kr"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mend", ["", "name another"])
def test_text_cut_within_its_last_character_is_reported_so(encoding, for_iconv, mend):
    data = (
        ("a" * 2000 + "\n春\n" + "a" * 2000 + "春").encode(encoding).removesuffix(b"\x1b(B").removesuffix(b"\x0f")[:-1]
    )
    told = f"it ends within a character, cut off or still being written; leave that out (iconv -c -f {for_iconv} -t "
    told += for_iconv + (")" if mend else "), or pass over such bytes with --errors replace")
    for pieces in ([data], [data[:3000], data[3000:-1], data[-1:]]):
        with pytest.raises(DecodingError) as caught:
            decode(pieces, encoding=encoding, mend=mend)
        assert str(caught.value).endswith(f"); {told}")


def test_long_rest_is_not_reported_as_cut_off():
    with pytest.raises(DecodingError, match=r"not valid .*; name the right --encoding, or pass over such bytes"):
        decode([("あ" * 400).encode("iso2022_jp"), b"\x1b((((((((("], encoding="iso2022_jp")


@pytest.mark.parametrize("end", ["é", "…", "🙂"])
def test_ascii_text_with_a_cut_end_may_be_growing_or_in_another_encoding(end):
    data = (300 * "plain English\n" + end).encode()
    for left in range(1, len(end.encode())):
        told = "; it ends within a character, cut off or still being written; leave that out"
        if left == 1:
            told = "; if it is UTF-8, it ends within a character, cut off or still being written; if it is Windows-1252"
        for pieces in ([data[: 4200 + left]], [data[:500], data[500 : 4200 + left]]):
            with pytest.raises(DecodingError, match=told):
                decode(pieces)


@pytest.mark.parametrize(
    ("encoding", "larger", "text"),
    [
        ("shift_jis", "cp932", "①"), ("gb2312", "gb18030", "髙"), ("gbk", "gb18030", "ǹ"), ("euc-kr", "cp949", "똠"),
        ("big5", "big5hkscs", "㗎"), ("euc_jp", "euc_jis_2004", "①"),
    ],
)  # fmt: skip
def test_larger_variant_of_an_encoding_is_suggested(encoding, larger, text):
    told = (
        f"; if it is {larger}, which has more characters, give --encoding that, or pass over such bytes with --errors"
    )
    with pytest.raises(DecodingError, match=told):
        decode([text.encode(larger)], encoding=encoding)
    assert decode([text.encode(larger)], encoding=larger) == text


@pytest.mark.parametrize(
    ("kanji", "told"), [(b"\x8f\xf4\xfb", "iconv -f EUC-JP-MS"), (b"\xfc\xe2", "name the right --enc")]
)
def test_kanji_of_windows_in_euc_jp_do_not_suggest_an_encoding_in_which_they_are_others(kanji, told):
    data = (JAPANESE * 9).encode("euc_jp") + kanji
    in_euc_jp, in_utf8 = outcome([data], encoding="euc_jp"), outcome([data])
    assert told in in_euc_jp
    assert "euc_jis_2004" not in in_euc_jp
    assert "probably euc-jp," in in_utf8


def test_byte_order_mark_suggests_a_wide_encoding_only_at_the_start():
    with pytest.raises(DecodingError, match="at byte 300 ") as caught:
        decode([300 * b"a", b"\xff\xfea"])
    assert "UTF-16" not in str(caught.value)


def test_decoder_error_without_a_place_does_not_suggest_a_byte_order(monkeypatch):
    class Decoder(codecs.getincrementaldecoder("cp1252")):
        def decode(self, data, final=False):
            raise UnicodeError("incomplete")

    monkeypatch.setattr(codecs, "getincrementaldecoder", lambda encoding: Decoder)
    assert outcome([b"a"], encoding="cp1252") == "t: incomplete; name the right --encoding"


@pytest.mark.parametrize(("encoding", "data"), [("utf-8", b"caf\xe9s"), ("utf-16", "hello".encode("utf-16-le"))])
def test_given_remedy_replaces_guesses(encoding, data):
    with pytest.raises(DecodingError, match=r"^t: [^;]*; mend it$"):
        decode([data], encoding=encoding, mend="mend it")


@given(
    st.binary(max_size=40).filter(
        lambda data: not data.startswith((*DOCUMENTS, *PACKED)) and not kind_without_text(data)
    ),
    st.integers(1, 5),
)
def test_place_of_an_error_does_not_depend_on_the_pieces(data, size):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        expected = f"t: not valid UTF-8 at byte {error.start:,} (0x{data[error.start : error.end].hex(' ')})"
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        with pytest.raises(DecodingError) as caught:
            decode(pieces)
        assert str(caught.value).startswith(expected)
    else:
        assert decode([data]) == data.decode("utf-8").removeprefix("\ufeff")


def test_byte_order_mark_is_dropped_once_and_counts_in_the_place_of_an_error():
    assert outcome(["\ufeff\ufeffa".encode()], encoding="utf-8-sig") == "\ufeffa"
    assert outcome([b"a"], encoding="utf-8-sig") == "a"
    assert outcome([b"\xef\xbb\xbfcaf\xff"], encoding="utf-8-sig").startswith("t: not valid UTF-8-SIG at byte 6 (0xff)")


@pytest.mark.parametrize("mend", ["", OTHER_ENCODING])
def test_valid_utf8_is_suggested_when_another_encoding_fails(mend):
    for encoding in ("cp1252", "ascii", "cp949"):
        with pytest.raises(DecodingError, match=r"; it is valid UTF-8: give --encoding utf-8$"):
            decode(["“Für”!".encode() * 999], encoding=encoding, mend=mend)
    for data in ("“Für”".encode("cp1252") + b"\x81", b"\x81plain", "ü".encode() + b"\x81"):
        with pytest.raises(DecodingError, match=f"; {mend or 'name the right --encoding'}"):
            decode([data], encoding="cp1252", mend=mend)
    with pytest.raises(DecodingError, match="; iconv converts"):
        decode(["”".encode()], encoding="cp1252", mend="iconv converts")
    with pytest.raises(DecodingError) as caught:
        decode([b"\x81", "”".encode()])
    assert "it is valid" not in str(caught.value)


def test_error_in_another_encoding_suggests_the_right_one():
    with pytest.raises(DecodingError, match=r"not valid ASCII at byte 0 .*name the right --encoding"):
        decode([b"\xff"], encoding="ascii")


@given(st.binary())
def test_surrogateescape_and_byte_unit_lose_nothing(data):
    text = decode([b"x", data], errors="surrogateescape")
    assert text.encode("utf-8", "surrogateescape") == b"x" + data
    assert decode([data], unit="byte").encode("latin-1") == data


@pytest.mark.parametrize(
    "options",
    [
        {"unit": "word"},
        {"encoding": "hex"},
        {"encoding": "no such"},
        {"encoding": "a\0b"},
        {"encoding": "undefined"},
        {"encoding": "Unicode-Escape"},
        {"encoding": "punycode"},
        {"encoding": "idna"},
        {"errors": "ignore"},
        {"newline": "crlf"},
        {"normalize": "nfd"},
        {"unit": "byte", "lowercase": True},
        {"unit": "byte", "encoding": "latin-1"},
    ],
)
def test_invalid_options_are_refused(options):
    with pytest.raises(ConfigError):
        TextOptions(**options)


@pytest.mark.parametrize("stored", [{"unit": "character", "colour": "red"}, {"lowercase": "yes"}, {"unit": "word"}])
def test_invalid_stored_options_are_refused(stored):
    with pytest.raises(ConfigError):
        config_from_dict(TextOptions, stored)


@pytest.mark.parametrize(
    ("text", "encoding", "read_in", "is_told"),
    [
        ("Für „Müßiggänger“", "utf-8", "cp1252", True),
        ("Für „Müßiggänger“", "utf-8-sig", "latin-1", True),
        (RUSSIAN, "utf-8", "windows-1251", True),
        ("Für „Müßiggänger“", "cp1252", "cp1252", False),
        (RUSSIAN, "windows-1251", "windows-1251", False),
        (CHINESE, "utf-8", "gb18030", True),
        (JAPANESE, "utf-8", "cp932", True),
        (CHINESE, "gb18030", "gb18030", False),
        (JAPANESE, "cp932", "cp932", False),
        (KOREAN, "cp949", "cp949", False),
        ("Für „Müßiggänger“", "utf-8", "utf-8", False),
        ("plain", "ascii", "cp1252", False),
    ],
)
def test_utf8_read_in_a_permissive_encoding_warns_once(text, encoding, read_in, is_told):
    data, told = (text * 9).encode(encoding), []
    options = TextOptions(encoding=read_in, errors="replace")
    for pieces in ([data], [data[:-1]], [b"ASCII " * 99, data, data], [b"ASCII " * 99, data[:-1], data[-1:]]):
        told.clear()
        read = "".join(decode_document(pieces, "t", options, doubt=lambda *doubt: told.append(doubt)))
        assert read == b"".join(pieces).decode(read_in, "replace").removeprefix("\ufeff")
        assert told == [("t", "utf-8")] * is_told


@pytest.mark.parametrize(
    ("data", "read_in", "is_told"),
    [
        (b"plain English " * 9, "utf-16-le", True),
        (b"plain English " * 9, "UTF_16BE", True),
        (b"plain English " * 9, "utf-32-le", True),
        (RUSSIAN.encode(), "utf-16-le", True),
        (b"plain English\0" * 9, "utf-16-le", False),
        (("plain English " * 9).encode("utf-16-le"), "utf-16-le", False),
        (("plain English " * 9).encode("utf-32-be"), "utf-32-be", False),
        (CHINESE.encode("utf-16-be"), "utf-16-be", False),
        ("丁一".encode("utf-16-be"), "utf-16-be", False),  # by chance ASCII
        (RUSSIAN.encode("utf-16-le"), "utf-16-le", False),
    ],
)
def test_utf8_read_in_a_wide_encoding_warns_once_even_for_ascii(data, read_in, is_told):
    told, options = [], TextOptions(encoding=read_in, errors="replace")
    pieces = [data[:3], data[3:], data]
    read = "".join(decode_document(pieces, "t", options, doubt=lambda *doubt: told.append(doubt)))
    assert read == (data + data).decode(read_in, "replace")
    assert told == [("t", "utf-8")] * is_told


@pytest.mark.parametrize("read_in", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_ascii_ending_within_a_wide_character_suggests_utf8(read_in):
    with pytest.raises(DecodingError, match=r"; it is valid UTF-8: give --encoding utf-8$"):
        decode([b"plain English" * 9], encoding=read_in)
    with pytest.raises(DecodingError, match=r"; it ends within a character, cut off"):
        decode([(CHINESE * 9).encode(read_in)[:-1]], encoding=read_in)


@pytest.mark.parametrize(
    ("lines", "is_told"),
    [
        (["月が".encode()], True),
        (["月".encode(), "日".encode(), "月が".encode(), "月が".encode()], True),
        (["月".encode(), "日".encode()], False),  # might be by chance
        (["月".encode("gb18030"), "月が".encode()], False),
    ],
)
def test_lines_too_short_to_tell_utf8_from_chinese_leave_it_to_later_ones(lines, is_told):
    told = []
    look = FirstLook("t", lambda *doubt: told.append(doubt), TextOptions(encoding="gb18030"))
    for line in lines:
        look.take(line, line.decode("gb18030", "surrogateescape"))
    assert told == [("t", "utf-8")] * is_told


@pytest.mark.parametrize(
    ("text", "encoding", "read_in", "likely"),
    [
        (JAPANESE, "euc_jp", "gb18030", "euc-jp"),
        (JAPANESE, "cp932", "gb18030", "cp932"),
        (JAPANESE, "cp932", "latin-1", "cp932"),
        (TANG, "big5", "gb18030", "big5hkscs"),
        (TANG, "big5", "cp932", "big5hkscs"),
        (KOREAN, "cp949", "gb18030", "cp949"),
        (CHINESE, "gb18030", "euc_jis_2004", "gb18030"),
    ],
)
def test_text_likelier_in_another_east_asian_encoding_warns_once(text, encoding, read_in, likely):
    data, told = (text * 9).encode(encoding), []
    options = TextOptions(encoding=read_in, errors="replace")
    for pieces in ([data], [b"ASCII " * 999 + data, data]):
        told.clear()
        for _ in decode_document(pieces, "t", options, doubt=lambda *doubt: told.append(doubt)):
            pass
        assert told == [("t", likely)]


@pytest.mark.parametrize(
    ("text", "read_in"),
    [(CHINESE, encoding) for encoding in ("gb2312", "gbk", "gb18030")]
    + [(JAPANESE, encoding) for encoding in ("shift_jis", "cp932", "shift_jis_2004", "euc_jp", "euc_jis_2004")]
    + [(TANG, encoding) for encoding in ("big5", "cp950", "big5hkscs", "gbk")]
    + [(KOREAN, encoding) for encoding in ("euc_kr", "cp949", "johab")]
    + [(RUSSIAN, encoding) for encoding in ("windows-1251", "koi8-r", "gb18030", "euc_jp", "cp949")],
)
def test_text_in_its_own_encoding_warns_of_no_other(text, read_in):
    told, options = [], TextOptions(encoding=read_in)
    data = (text * 9).encode(read_in)
    assert "".join(decode_document([data], "t", options, doubt=lambda *doubt: told.append(doubt))) == text * 9
    assert not told


@pytest.mark.parametrize(
    ("line", "encoding"),
    [("持版本", "gb18030"), ("一模式", "gb18030"), ("個以上", "cp932"), ("にもか", "euc-jp"), ("の指定", "euc-jp")],
)
def test_short_line_is_not_taken_for_utf8_by_chance(line, encoding):
    told, data = [], line.encode(encoding)
    FirstLook("t", lambda *doubt: told.append(doubt), TextOptions(encoding=encoding)).take(data, line)
    assert told == []


def test_holds_utf8_ignores_a_start_within_a_character():
    data = CHINESE.encode()
    assert all(holds_utf8(data[start:end]) for start in range(4) for end in range(40, 44))
    assert not holds_utf8(data[:9] + data[10:])
    assert not holds_utf8(b"ab")
    assert not holds_utf8(b"")
