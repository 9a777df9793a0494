"""What runs of trainings are called in tests."""

RUN, PARENT, OTHER = (digit * 12 for digit in "abc")
