"""Common given and family names, so that a recogniser with a grammar can hear the likely ones; others are spelled."""

from __future__ import annotations

from perhop.text.words import vocabulary

__all__ = ["FAMILY_NAMES", "GIVEN_NAMES"]

GIVEN_NAMES = vocabulary(
    "aaron adam alan albert alex alexander alice amanda amber amy andrea andrew angela ann anna anthony arthur "
    "ashley barbara ben benjamin betty brandon brian carl carol catherine charles chris christina christine "
    "christopher cynthia dan daniel david deborah dennis diana donald donna dorothy douglas edward elizabeth "
    "emily emma eric ethan eva frank gary george grace greg hannah harry heather helen henry isabella jack jacob "
    "james jane janet jason jean jeff jennifer jeremy jessica jim joan joe john jonathan jordan jose joseph "
    "joshua juan judy julia julie justin karen kate katherine keith kelly ken kevin kim kyle larry laura lauren "
    "lee linda lisa louis luke margaret maria marie mark martha martin mary matt matthew megan melissa michael "
    "michelle mike nancy natalie nathan nicholas nicole nina noah olivia pamela patricia patrick paul peter "
    "philip rachel ralph raymond rebecca richard robert roger ron rose roy ruth ryan sam samantha samuel sandra "
    "sara sarah scott sean sharon sophia stephanie stephen steve steven sue susan teresa thomas tim timothy tom "
    "tony tyler victoria vincent virginia walter wayne wendy william zachary"
)
FAMILY_NAMES = vocabulary(
    "adams alexander allen anderson bailey baker barnes bell bennett brooks brown bryant butler campbell carter "
    "chavez chen clark coleman collins cook cooper cox cruz davis diaz edwards evans fisher flores foster garcia "
    "gibson gomez gonzalez gordon graham gray green griffin hall hamilton harris harrison hayes henderson "
    "hernandez hill howard hughes hunt jackson james jenkins johnson jones jordan kelly kennedy kim king lee "
    "lewis long lopez marshall martin martinez mason mcdonald miller mitchell moore morales morgan morris murphy "
    "murray myers nelson nguyen owens parker patel patterson perez perry peterson phillips powell price ramirez "
    "reed reyes reynolds rice richardson rivera roberts robinson rodriguez rogers ross russell sanchez sanders "
    "scott shaw simmons simpson smith stevens stewart sullivan taylor thomas thompson torres tucker turner walker "
    "wallace ward washington watson webb wells west white williams wilson wong wood wright young"
)
