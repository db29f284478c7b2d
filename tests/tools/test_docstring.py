from __future__ import annotations

from perhop.tools.docstring import parse_docstring


def test_no_docstring_is_an_empty_one() -> None:
    docs = parse_docstring(None)
    assert (docs.description, dict(docs.parameters)) == ("", {})


def test_description_ends_at_the_first_section_and_its_lines_are_joined() -> None:
    docs = parse_docstring(
        """Finds homes
        that are for rent.

        Newest first.

        Returns:
            The homes.

        Raises:
            ToolError: there are none.
        """
    )
    assert docs.description == "Finds homes that are for rent.\n\nNewest first."


def test_arguments_may_have_types_and_run_over_several_lines() -> None:
    docs = parse_docstring(
        """Books.

        Args:
            day (date, optional): The day,
                in local time.
            note: See https://example.org: it says more.

                Even after a gap.

        Returns:
            name: not a parameter.
        """
    )
    assert docs.parameters == {
        "day": "The day, in local time.",
        "note": "See https://example.org: it says more.\n\nEven after a gap.",
    }


def test_a_sentence_with_a_colon_is_no_section() -> None:
    docs = parse_docstring("Says one of two things: yes or no.\n\nNote: this is prose.")
    assert docs.description == "Says one of two things: yes or no.\n\nNote: this is prose."


def test_an_empty_arguments_section_describes_nothing() -> None:
    assert parse_docstring("Runs.\n\nArgs:\n\nReturns:\n    x: y").parameters == {}
