"""What the generator makes of two small messages, kept beside it in snapshot/, so that a change of the generator is seen in review.

    python3 generate_test.py --accept      writes the snapshot anew
"""

import pathlib
import sys
import unittest

import generate
import notation

HERE = pathlib.Path(__file__).parent
# One with a tagged struct; and one with an array and tagged fields out of order, with defaults, in one version only.
MESSAGES = ("UpdateRaftVoterResponse", "TransactionLogValue")


def made():
    schema = notation.load(HERE.parent / "schema")
    schema.messages = {name: schema.messages[name] for name in MESSAGES}
    schema.apis, schema.records = {}, []
    return {"messages.h": generate.header(schema), "messages.c": generate.tables(schema)}


class Snapshot(unittest.TestCase):
    maxDiff = None

    def test_generated_code_is_as_it_was_reviewed(self):
        for name, text in made().items():
            with self.subTest(name):
                self.assertEqual(text, (HERE / "snapshot" / name).read_text())


if __name__ == "__main__":
    if "--accept" in sys.argv:
        for name, text in made().items():
            (HERE / "snapshot" / name).write_text(text)
    else:
        unittest.main()
