"""What the notation accepts and refuses."""

import pathlib
import tempfile
import unittest

import notation


def parse(text):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "some.schema").write_text(text)
        return notation.load(folder)


DATA = "data Thing 0-3 flexible 2+\n"


class Accepted(unittest.TestCase):
    def test_a_field_has_what_its_line_says(self):
        thing = parse(DATA + "\tSomeName: []string 1-2 nullable 2+ tag 4 2 key ignorable\n".replace("2+ tag", "2 tag")).messages["Thing"]
        field = thing.fields[0]
        self.assertEqual((field.name, field.member, field.type, field.array), ("SomeName", "some_name", "string", True))
        self.assertEqual((list(field.versions), list(field.nullable), list(field.tagged), field.tag), ([1, 2], [2], [2], 4))
        self.assertTrue(field.key and field.ignorable and not field.inflexible)
        self.assertEqual(field.default, [])

    def test_open_ranges_end_with_the_message(self):
        thing = parse(DATA + "\tA: int32 1+ = -1\n").messages["Thing"]
        self.assertEqual(list(thing.fields[0].versions), [1, 2, 3])
        self.assertEqual(thing.fields[0].default, -1)
        self.assertEqual([thing.is_flexible(version) for version in range(4)], [False, False, True, True])

    def test_structs_may_be_shared_and_stand_at_the_end(self):
        thing = parse(DATA + "\tA: Inner 0+\n\tB: []Inner 1+\n\tstruct Inner 0+\n\t\tC: bool 0+ = true\n").messages["Thing"]
        self.assertIs(thing.fields[0].struct, thing.fields[1].struct)
        self.assertIs(thing.fields[0].struct.fields[0].default, True)

    def test_records_of_one_definition_may_have_types_with_names(self):
        record = parse("record 0:Abort,1:Commit End in control\nvalue End 0\n\tA: int8 0\n").records[0]
        self.assertEqual(record.types, [(0, "Abort"), (1, "Commit")])

    def test_names_turn_to_snake_case(self):
        for camel, snake in (("TimeoutMs", "timeout_ms"), ("IsKRaftController", "is_kraft_controller"), ("ISRTopics", "isr_topics"),
                             ("group", "group"), ("Enable2Pc", "enable2_pc")):
            self.assertEqual(notation.snake(camel), snake)


class Refused(unittest.TestCase):
    CASES = {
        "versions outside of the message's": "\tA: int32 2-4\n",
        "an inner field older than its struct": "\tA: Inner 1+\n\t\tB: int8 0+\n",
        "a type that nobody defined": "\tA: Inner 0+\n",
        "a struct that contains itself": "\tA: Inner 0+\n\t\tB: []Inner 0+\n",
        "an integer that may be null": "\tA: int32 0+ nullable 0+\n",
        "null where it is not nullable": "\tA: string 0+ nullable 1+ = null\n",
        "a default that does not fit": "\tA: int8 0+ = 128\n",
        "a default for a string": "\tA: string 0+ = x\n",
        "a tag in a version without tags": "\tA: int32 0+ tag 0 1+\n",
        "a tag twice": "\tA: int32 2+ tag 0 2+\n\tB: int32 2+ tag 0 2+\n",
        "records in a tagged field": "\tA: records 2+ tag 0 2+\n",
        "records inside of a tagged struct": "\tA: Inner 2+ tag 0 2+\n\t\tB: records 2+\n",
        "a field twice": "\tA: int32 0+\n\tA: int32 0+\n",
        "a struct twice": "\tA: Inner 0+\n\t\tC: int8 0+\n\tB: Inner 0+\n\t\tC: int8 0+\n",
        "spaces for tabs": "    A: int32 0+\n",
        "fields of an integer": "\tA: int32 0+\n\t\tB: int8 0+\n",
        "a line too far in": "\tA: Inner 0+\n\t\t\tB: int8 0+\n",
        "an unknown word": "\tA: int32 0+ sometimes\n",
        "versions with a hole": "\tA: int32 0,2\n",
    }

    def test_mistakes_are_refused_with_file_and_line(self):
        for what, lines in self.CASES.items():
            with self.subTest(what), self.assertRaisesRegex(notation.NotationError, r"some\.schema"):
                parse(DATA + lines)

    def test_an_api_needs_both_its_messages_in_the_same_versions(self):
        head = "api 0 Some\nlisteners broker\nrequest SomeRequest 0-1\n\tA: int8 0+\n"
        with self.assertRaises(notation.NotationError):
            parse(head)
        with self.assertRaises(notation.NotationError):
            parse(head + "response SomeResponse 0\n\tA: int8 0+\n")


if __name__ == "__main__":
    unittest.main()
