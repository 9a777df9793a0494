"""Runs of trainings in tests: what they are called, and a request without flags."""

RUN, PARENT, OTHER = (digit * 12 for digit in "abc")


NO_FLAGS = {
    "options": {}, "explicit": {}, "log": None, "resume": False, "resume_from": None, "force": False,
    "overwrite": False, "quiet": True, "as_json": False, "started": 0.0,
}  # fmt: skip
