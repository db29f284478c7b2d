"""A small grammar by hand, for tests that need one and not the compiler."""

from __future__ import annotations

__all__ = ["HOMES", "YES_NO"]

HOMES = """#JSGF V1.0;
grammar homes;
public <turn> = <search> | <book> | <yes> | <no> | cancel | start over | text me the details;
<search> = (i'd like to see | show me | i'm looking for | do you have) [a] <bedrooms> bedroom [in <city>] [on <day>];
<bedrooms> = one | two | three | four;
<city> = oakland | berkeley | fremont | san francisco | palo alto;
<book> = book a viewing [on <day>] [at <hour> [thirty]];
<day> = monday | tuesday | wednesday | thursday | friday | saturday | sunday;
<hour> = one | two | three | four | five | six | nine | ten | eleven | twelve;
<yes> = yes | yes please | that's right;
<no> = no | no thanks;
"""

YES_NO = "#JSGF V1.0; grammar answer; public <answer> = yes | no | maybe later;"
