r"""Extract the answer of a completion and compare it with the truth; rewards and evaluation both call these functions.

The length of a text is bounded before anything expensive parses it. Numbers, assignments, tuples, intervals, sets and
matrices are parsed here, scalar expressions in expressions.py.

Strict: decimals are exact (0.333333 is not 1/3). A unit (\text{...}, degrees, percent) of the truth may be omitted, but
none may be changed, and to a plain number only degrees or a noun may be added ("18 eggs", "18 dollars a day"): 50% is
neither 0.5 nor a truth of 50, and 18 cents, 18 cm and 18 million dollars are not 18. Digits are ASCII.
Lenient: a currency sign is ignored, "x = 5" equals a truth of "5" and vice versa, x <= 3 is (-\infty,3], and an
equation in several variables may be rearranged.
"""

import re
from fractions import Fraction

from common.expressions import cost, same_equation, same_value
from common.prompts import THESIS, Tags

MAX_CHARS = 500  # of a solution or a truth; the longest truth of MATH-500 and DAPO-Math-17k has 159
MAX_PARTS, MAX_DEPTH = 16, 6
MAX_COST = 40  # functions, roots and powers of solution and truth together: 0.4 s; the truths of data sets have up to 7
LINEAR_TOLERANCE = Fraction(1, 10**6)  # absolute, for truths that assign several variables

UNSIGNED = r"(?:(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
FRACTION = rf"\\frac\{{([+-]?{UNSIGNED})\}}\{{([+-]?{UNSIGNED})\}}"
NUMBER = re.compile(rf"([+-]?)(?:({UNSIGNED})(?:/({UNSIGNED}))?|([0-9]*){FRACTION})")
NAME = r"(?:[A-Za-z]|[A-Z]{2}|\\(?:alpha|beta|theta|lambda|mu))(?:_(?:[0-9A-Za-z]|\{[0-9]{2}\})|\([A-Za-z]\))?"
ASSIGNMENT = re.compile(rf"({NAME})=([^=<>]+)")
LABEL = re.compile(rf"({NAME}(?==)|\({NAME}(?:, ?{NAME})+\)(?==\())=(.+)")
UNIT = re.compile(r"(.*[0-9})]) ?((?:\\text\{[^{}]*\}|(?<= )[A-Za-z]{2,})(?:\^[23])?|\^\\circ|%)")
SINGULAR = "dollar|second|minute|hour|day|week|month|year|inch|foot|yard|mile|meter|kilometer|gallon|degree"
MULTIPLE = (  # plurals that change a number, or doubt it, rather than name what it counts
    r"[a-z]*(?:illion|teen)s|[a-z]*(?<!mon)ths|(?:twen|thir|for|fif|six|seven|eigh|nine)ties|hundreds|thousands|lakhs"
    "|ones|twos|threes|fours|fives|sixes|sevens|eights|nines|tens|elevens|twelves|zeroe?s|dozens|gross(?:es)?|scores"
    "|pairs|couples|hal(?:f|ve)s|thirds|quarters|percent(?:age)?s|cents|pence|pennies|nickels|dimes|grands|crores|times"
    "|plus|minus|less|unless|versus|perhaps|guess(?:es)?|always|sometimes|does|this|thus|radians|roots|squares|cubes"
    "|powers|logs|doubles|triples|multiples|negatives|inverses|opposites|reciprocals|factorials|exponents|others"
)
NOUN = (
    rf"(?i:(?:square |cubic )?(?:(?!(?:{MULTIPLE})\b)[a-z]{{3,}}s|people|men|women|children|feet|{SINGULAR})"
    rf"(?: (?:an?|per) (?:{SINGULAR}))?)"
)
# A number and what it counts: a plural, a unit in words or degrees.
COUNTED = re.compile(rf"({NUMBER.pattern})(?:\^\\circ|\\text\{{{NOUN}\}}|(?: |(?<=\}})){NOUN})")
WORD = re.compile(r"[A-Za-z]+(?:[ '][A-Za-z]+)*")
MEMBER = re.compile(r"^[A-Za-z]\\in ?(?=[(\[\\])")
RELATION = r"<=|>=|[<>=]|\\ne(?![A-Za-z])"
OR = r"(?<![A-Za-z\\])or(?![A-Za-z])"
LETTER = re.compile(r"(?![ei]$)[A-Za-z]")
MIRROR = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
UNICODE = str.maketrans(
    {"−": "-", "–": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "π": r"\pi ", "°": r"^\circ", "∞": r"\infty "}
    | {"∪": r"\cup ", "≤": "<=", "≥": ">=", "≠": r"\ne ", "±": r"\pm ", "√": r"\sqrt "}
)
SYSTEM = re.compile(  # cases, and the same written as an array or aligned lines behind one brace
    r"\\begin\{cases\}(.*?)\\end\{cases\}"
    r"|(?:\\left\s*)?\\\{\s*\\begin\{(array|aligned)\}(?:\{[lcr ]*\})?(.*?)\\end\{\2\}(?:\s*\\right\s*\.)?",
    re.DOTALL,
)
SPELLINGS = [  # pattern and replacement, in this order
    (r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\!\s*|\\,", ""),
    (r"(?<!\\)\\[;: ]|\\q?quad(?![A-Za-z])|~|(?<!\\)\\[()\[\]]", " "),  # spaces, and the delimiters \( \) \[ \]
    (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
    (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
    (r"\\[lr]?vert(?![A-Za-z])", "|"),
    (r"\\(?:mbox|mathrm|mathbf|text[a-z]+)\s*(?=\{)", r"\\text"),
    (r"\\%|\\text\s*\{\s*per ?cent\s*\}|(?<=[0-9)}])\s*(?:per ?cent|pct)(?![A-Za-z])", "%"),
    (r"\\leq?(?:slant)?(?![A-Za-z])", "<="),
    (r"\\geq?(?:slant)?(?![A-Za-z])", ">="),
    (r"\\lt(?![A-Za-z])", "<"),
    (r"\\gt(?![A-Za-z])", ">"),
    (r"\\neq(?![A-Za-z])|\\not\s*=|(?<![0-9)])!=", r"\\ne "),  # 5!=120 is a factorial
    (r"\{,\}", ","),
    (r",?\s*(?:\band\b|\\text\s*\{,?\s*and\s*\})\s*|\s*;", ", "),
    (rf",?\s*(?:{OR}|\\text\s*\{{,?\s*or\s*\}})\s*", " or "),
    (r"\s+", " "),
    # A space stays between digits and letters, and beside a comma or a point: "1, 234" is not 1,234.
    (r"(?<![0-9A-Za-z,.]) | (?![0-9A-Za-z,.])", ""),
    (r"(?<![0-9A-Za-z)}\]|])\+(?=\\infty)", ""),
    (r"^([+-]?)(?:\\?\$|[£€¥])(?=[+-]?[0-9.])", r"\1"),
    (r"(?<=[0-9}]) ?(?:\\?\$|[£€¥])(?=\.?$)", ""),
    (r"\\text\{([0-9A-Z]+)\}(?=_)", r"\1"),  # digits of another base
    (r"_([0-9]{2,})", r"_{\1}"),
    (r"([_^])\{([0-9A-Za-z]|\\circ)\}", r"\1\2"),
    (r"(?<![\\A-Za-z])(sqrt|pi)(?![A-Za-z])", r"\\\1"),
    (r"\\(frac|sqrt|binom) ?([0-9])", r"\\\1{\2}"),
    (r"(\\(?:frac|binom)\{(?:[^{}]|\{[^{}]*\})*\}) ?([0-9])", r"\1{\2}"),
    (r"\((\\begin\{array\}.*\\end\{array\})\)|\[(\\begin\{array\}.*\\end\{array\})\]", r"\1\2"),
    (r"\\begin\{array\}\{[lcr]*\}(.*?)\\end\{array\}", r"\\begin{matrix}\1\\end{matrix}"),
]


def extract_solution(text: str, tags: Tags = THESIS) -> str | None:
    """The stripped text between the answer tags, or None.

    None unless both answer tags occur exactly once, in order, with 1 to 500 characters between them, and outside the
    reasoning: an answer that opens before a `work_close` is None. Other errors of the format do not matter here.
    """
    if not isinstance(text, str) or text.count(tags.answer_open) != 1 or text.count(tags.answer_close) != 1:
        return None
    rest = text.partition(tags.answer_open)[2]
    if tags.answer_close not in rest or tags.work_close in rest:
        return None
    solution = rest.partition(tags.answer_close)[0].strip()
    return solution if 0 < len(solution) <= MAX_CHARS else None


# A flexible answer: where its text may begin, and how far from the end of a completion it is looked for.
BOXED = re.compile(r"\\boxed\s*\{")
MARK = re.compile(r"####|\banswer\b(?:\s+is)?[\s*_]*:|\banswer\s+is\b", re.IGNORECASE)
TAIL = 2_000  # characters
VALUE = re.compile(rf"(?<![0-9.A-Za-z])([+-]?)(?:\\?[$£€])?{UNSIGNED}(?:/{UNSIGNED})?(?![0-9])")
OPTION = re.compile(r"(?<![A-Za-z\\])[A-Z](?![A-Za-z'])")
YES_OR_NO = re.compile(r"\b(?:yes|no|true|false)\b", re.IGNORECASE)


def extract_flexible(text: str, truth: str, tags: Tags = THESIS) -> str | None:
    """The answer of a completion wherever it stands, or None; for the score `flexible`.

    The tagged answer if there is one; else what follows the last \\boxed{, else the last "####" or "answer:". Of that,
    or without a mark of the whole text, the last value counts: of a truth "x=2, y=-3" the last value of each unknown,
    of a number the last number, of a letter or of yes and no the last one of them. Only the kind of the truth is used.
    So a list of guesses is one answer, its last. Any other kind of truth is compared with the marked text as a whole.
    Never raises; only the last 2,000 characters are read.
    """
    if not isinstance(text, str):
        return None
    tagged = extract_solution(text, tags)
    if tagged is not None:
        return tagged
    tail = text[-TAIL:]
    for tag in tags:
        tail = tail.replace(tag, "\n")
    marked = _marked(tail)
    region = marked or tail
    values = named_values(truth)
    if values is None:
        for choice in (OPTION, YES_OR_NO):
            if choice.fullmatch(truth.strip().upper()):
                return _last(choice, region)
        return marked
    if "" in values:
        return _last_number(region)
    assignments = []
    for name in values:
        value = _last_assigned(region, name)
        if value is None:
            return marked
        assignments.append(f"{name}={value}")
    return ", ".join(assignments)


def _marked(text: str) -> str | None:
    """The rest of the line after the last mark of an answer, or the content of the last box; None without one."""
    boxes = list(BOXED.finditer(text))
    if boxes:
        return _braced(text[boxes[-1].end() :])
    marks = list(MARK.finditer(text))
    if not marks:
        return None
    rest = text[marks[-1].end() :].strip()
    line = rest.split("\n")[0].strip(" *_`")
    return line[:MAX_CHARS] or None


def _braced(text: str) -> str | None:
    """The text up to the brace that closes the one before it; None where none does."""
    depth = 1
    for place, character in enumerate(text[: MAX_CHARS + 1]):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        if depth == 0:
            return text[:place].strip() or None
    return None


def _last(pattern: re.Pattern, text: str) -> str | None:
    """The last match of a pattern; None without one."""
    matches = list(pattern.finditer(text))
    return matches[-1][0] if matches else None


def _last_number(text: str) -> str | None:
    """The last number of a text as it can be compared: without a currency sign."""
    number = _last(VALUE, text)
    return number and re.sub(r"[\\$£€]", "", number)


def _last_assigned(text: str, name: str) -> str | None:
    """The value at the end of the last chain of equations that begins with a name: -4 of "y = 48/-12 = -4, so"."""
    equations = re.split(rf"(?<![A-Za-z\\]){re.escape(name)}\s*=(?!=)", text)
    if len(equations) == 1:
        return None
    chain = equations[-1][:MAX_CHARS].lstrip()
    return _last_number(re.split(r",(?![0-9]{3})|;|\n|\band\b", chain)[0])


def is_correct(solution: str | None, truth: str) -> bool:
    """Whether the solution has the truth's mathematical value; False if either cannot be parsed. Never raises."""
    if not _is_short(solution) or not _is_short(truth):
        return False
    try:
        given = _clean(solution)
        count = COUNTED.fullmatch(given)
        if count and NUMBER.fullmatch(truth.strip()):
            given = count[1]
        return _equal(given, _clean(truth))
    except Exception:  # noqa: BLE001  1/0, unbalanced brackets, whatever a parser raises: no value, so incorrect
        return False


def is_number(text: str) -> bool:
    """Whether the text is one plain number: signed, decimal, a fraction or a mixed number."""
    return (named_values(text) or {}).keys() == {""}


def named_values(text: str | None) -> dict[str, Fraction] | None:
    """The exact values of "42" (under the name "") or of "x=2, y=-3" (under their names); None for anything else."""
    if not _is_short(text):
        return None
    try:
        text = _clean(text)
        assignments = _assignments(text) or {"": text}
        values = {name: _number(value) for name, value in assignments.items()}
    except Exception:  # as in is_correct
        return None
    return None if None in values.values() else values


def numbers_in(text: str | None) -> list[Fraction]:
    """Every number in the text, in order, whatever surrounds it: "about 1,250 or 3.5" gives 1250 and 3.5."""
    if not _is_short(text):
        return []
    numbers = re.finditer(rf"(?<![0-9.])([+-]?){UNSIGNED}", text)
    return [Fraction(match[0].replace(",", "")) for match in numbers]


# Words or "x =", one number, words; "\sqrt{5}", "5!", "x + 5", "5x" and "not 5" are not 5.
AMONG_WORDS = re.compile(
    r"(?is)(?!.*\b(?:not|no|never|minus|negative|sqrt|root|squared|factorial)\b)(?:[a-z]+[\s,:=]+)*"
    rf"(?<!\b[a-z]\s)[$€£]?([+-]?{UNSIGNED})(?:\s[a-z]{{2,}})*\.?"
)


def number_among_words(text: str | None) -> Fraction | None:
    """The only number of a text of plain words otherwise: 5 of "the answer is 5 apples"; None for any other text."""
    match = AMONG_WORDS.fullmatch(text or "")
    numbers = numbers_in(match[1]) if match else []
    return numbers[0] if numbers else None


def _is_short(text) -> bool:
    """Whether it is a text of 1 to 500 characters."""
    return isinstance(text, str) and 0 < len(text) <= MAX_CHARS


def _clean(text: str) -> str:
    """The text with math delimiters, boxes, spaces, fractions and currency in one canonical spelling."""
    text = text.translate(UNICODE).strip()
    if text.isascii() and text.isdigit():
        return text
    if len(re.findall(r"(?<!\\)\$", text)) % 2 == 0:
        text = re.sub(r"(?<!\\)\$", " ", text).strip()
    text = SYSTEM.sub(_list_of_cases, text)
    if "=" in text:
        text = re.sub(r"\s*[,;]?\s*\n\s*", ", ", text)
    for pattern, replacement in SPELLINGS:
        text = re.sub(pattern, replacement, text)
    text = text.removesuffix(".").strip()
    box = _inside(r"\\(?:boxed|fbox|text)\{", r"\}", text)
    return _clean(box[1]) if box else text


def _list_of_cases(system: re.Match) -> str:
    r"""The lines of a system as a list: "x=2, y=3"; those of a piecewise function as a set of (value, condition)."""
    lines = []
    piecewise = False
    for line in (system[1] or system[3] or "").split(r"\\"):
        line = re.sub(r"&\s*=\s*&?", "=", line)
        cells = [cell.strip().rstrip(" ,;.") for cell in line.split("&")]
        if len(cells) == 2 and system[2] != "aligned":
            condition = re.sub(r"\\(?:text[a-z]*|mbox|mathrm)\s*\{([^{}]*)\}|\\q?quad", r" \1 ", cells[1])
            condition = re.sub(r"^ *(?:if|for|when) ", "", condition)
            cells = [f"({cells[0]}, {condition})"]
            piecewise = True
        lines.append("".join(cells))
    text = ", ".join(filter(None, lines))
    return rf"\{{{text}\}}" if piecewise else text


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators (a regular expression) outside brackets; ValueError if brackets are unbalanced."""
    return _split_with_separators(text, separator)[::2]


def _split_with_separators(text: str, separator: str) -> list[str]:
    """As _split, with the separators between the parts."""
    parts = []
    depth = start = 0
    for token in re.finditer(rf"(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<cut>{separator})", text):
        if token.lastgroup == "open":
            depth += 1
        elif token.lastgroup == "close":
            depth -= 1
        elif depth == 0:
            parts += [text[start : token.start()].strip(), token[0]]
            start = token.end()
        if not 0 <= depth <= MAX_DEPTH:
            raise ValueError("brackets too deep, or one closes that never opened")
    if depth or len(parts) >= 2 * MAX_PARTS:
        raise ValueError("brackets that never close, or too many parts")
    return [*parts, text[start:].strip()]


def _inside(opening: str, closing: str, text: str) -> tuple[str, ...] | None:
    """Opening, inside and closing; None where opening and closing are no pair, as in (a+1)(b+2)."""
    match = re.fullmatch(f"({opening})(.*?)({closing})", text)
    if not match:
        return None
    try:
        _split(match[2], "(?!)")
    except ValueError:
        return None
    return match.groups()


def _number(text: str) -> Fraction | None:
    r"""The exact value of a plain number, a/b, \frac{a}{b} or a mixed number; ZeroDivisionError for a/0."""
    match = NUMBER.fullmatch(text)
    if not match:
        return None
    sign, top, bottom, whole, *frac = [group.replace(",", "") for group in match.groups("")]
    if top:
        value = Fraction(top) / Fraction(bottom or 1)
    else:
        value = Fraction(whole or 0) + Fraction(frac[0]) / Fraction(frac[1])
    return -value if sign == "-" else value


def _label(text: str) -> tuple[str, str]:
    """The label and the values: ("x", "3, 5") of "x=3 or x=5" and of "x=3, 5", ("(p,q)", "(3,2)") of "(p,q)=(3,2)".

    ("", text) if there is no label, or more than one.
    """
    parts = _split(text, f",|{OR}")
    labels = set()
    values = []
    for part in parts:
        match = LABEL.fullmatch(part)
        if match:
            labels.add(match[1].replace(" ", ""))
        values.append(match[2] if match else part)
    if len(labels) != 1 or values[0] == parts[0] or any(map(_is_relation, values)):
        return "", text
    label = labels.pop()
    if label.startswith("("):
        size = label.count(",") + 1
        if any(len(_shape(value)[1]) != size for value in values):
            return "", text
    return label, ", ".join(values)


def _is_relation(text: str) -> bool:
    """Whether the text is an equation or an inequality."""
    return len(_split(text, RELATION)) > 1


def _assignments(text: str) -> dict[str, str]:
    """Name to value of "x=2, y=-3" and of "(x,y)=(2,-3)"; {} if it is anything else or names a variable twice."""
    label, value = _label(text)
    if label.startswith("("):
        names = label[1:-1].split(",")
        kind, parts = _shape(value)
        return dict(zip(names, parts)) if kind == "()" and len(set(names)) == len(parts) else {}
    parts = [text] if text.count("=") == 1 else _split(text, ",")
    values = {}
    for part in parts:
        match = ASSIGNMENT.fullmatch(part)
        if not match or match[1] in values:
            return {}
        values[match[1]] = match[2].strip()
    return values


def _shape(text: str) -> tuple[str, list[str]]:
    """The kind of a text (its brackets, set, matrix or scalar) and its parts; a bare list and a union are sets."""
    matrix = re.fullmatch(r"\\begin\{[pb]?matrix\}(.*)\\end\{[pb]?matrix\}", text)
    if matrix:
        rows = [row.split("&") for row in matrix[1].split(r"\\") if row.strip()]
        widths = list(map(len, rows))
        return f"matrix {widths}", [cell.strip() for cell in sum(rows, [])]
    union = _split(text, r"\\cup(?![A-Za-z])")
    if len(union) > 1:
        return "set", union
    group = _inside(r"[(\[]", r"[)\]]", text)
    if group:
        parts = _split(group[1], ",")
        if len(parts) > 1 or group[0] == "[":
            return group[0] + group[2], parts
    group = group or _inside(r"\\\{", r"\\\}", text)
    parts = []
    for part in _split(group[1] if group else text, f",|{OR}"):
        terms = _split(part, r"\\pm(?![A-Za-z])")
        parts += ["+".join(terms), "-".join(terms)] if len(terms) == 2 else [part]
    return ("set" if len(parts) > 1 else "scalar"), parts


def _equal(given: str, truth: str, tolerance: Fraction = Fraction(0)) -> bool:
    """Whether two cleaned texts are equal: the first of COMPARISONS that applies decides.

    tolerance: absolute, for two plain numbers.
    """
    given, truth = _without_unit(given, truth)
    number = _number(given)
    true_number = _number(truth)
    if number is not None and true_number is not None:
        return abs(number - true_number) <= tolerance
    if re.fullmatch(r"[+-]?(?:nan|inf|infinity)", given, re.IGNORECASE):
        return False
    if given == truth:
        return bool(truth)
    if cost(given) + cost(truth) > MAX_COST:
        return False
    for compare in COMPARISONS:
        verdict = compare(given, truth)
        if verdict is not None:
            return verdict
    return False


def _without_unit(given: str, truth: str) -> tuple[str, str]:
    """Both texts without the unit of the truth, if the solution has the same unit or, unless that is a word, none."""
    unit = UNIT.fullmatch(given)
    true_unit = UNIT.fullmatch(truth)
    if unit and true_unit:
        names = [re.sub(r"\\text|[{} ]", "", match[2]).lower() for match in (unit, true_unit)]
        if names[0] == names[1]:
            return unit[1].strip(), true_unit[1].strip()
    elif true_unit and not true_unit[2][0].isalpha():  # letters may be a product: 2 xy is not 2
        return given, true_unit[1].strip()
    return given, truth


# Each comparison takes a cleaned solution and truth, and returns the verdict, or None if it does not apply to them.


def _words(given: str, truth: str) -> bool | None:
    """Words and option letters in any case: "YES" and "yes", "(D)" and "d"."""
    words = [re.sub(r"^\(([A-Za-z])\)$", r"\1", text) for text in (given, truth)]
    if not all(map(WORD.fullmatch, words)):
        return None
    return words[0].lower() == words[1].lower()


def _systems(given: str, truth: str) -> bool | None:
    """A truth of several assignments: equal values of the same names, or a tuple of them in the order of the names."""
    true_values = _assignments(truth)
    if len(true_values) < 2:
        return None
    values = _assignments(given)
    if not values:
        kind, parts = _shape(given)
        if kind == "()" and len(parts) == len(true_values):
            values = dict(zip(sorted(true_values), parts))
    if values.keys() != true_values.keys():
        return False
    return all(_equal(value, true_values[name], LINEAR_TOLERANCE) for name, value in values.items())


def _labelled(given: str, truth: str) -> bool | None:
    """Values with the same label or, on one side, without: "x=5" and "5", "(p,q)=(3,2)" and "(3,2)"."""
    label, value = _label(given)
    true_label, true_value = _label(truth)
    if label and true_label:
        comparable = label == true_label
    elif label:
        comparable = not _is_relation(truth)
    else:
        comparable = true_label and not _is_relation(given)
    return _equal(value, true_value) if comparable else None


def _intervals(given: str, truth: str) -> bool | None:
    """An interval or a union of them, and the inequality that it is: (-\\infty,3] and x <= 3."""
    if bool(re.search("[<>]", given)) == bool(re.search("[<>]", truth)):
        return None
    if re.search("[<>]", truth):
        truth = _interval(truth)
    elif re.search(r"\\infty|\\cup|^\[|\]$", truth):  # (3,5) may be a point
        given = _interval(given)
    else:
        return None
    return True if given and truth and _equal(given, truth) else None


def _interval(text: str) -> str | None:
    """The interval of "x<=3" or "1<x<5", the union of "x<1 or x>3"; None for any other text."""
    names = set()
    intervals = []
    for part in _split(text, OR):
        sides = _split_with_separators(part, RELATION)
        if len(sides) == 3 and not LETTER.fullmatch(sides[0]):
            sides = _mirrored(sides)
        if len(sides) == 3:
            sides = [r"-\infty", "<", *sides] if sides[1].startswith("<") else [r"\infty", ">", *sides]
        signs = "".join(sides[1::2])
        if ">" in signs:
            sides = _mirrored(sides)
        if not re.fullmatch("<=?<=?|>=?>=?", signs) or not LETTER.fullmatch(sides[2]):
            return None
        names.add(sides[2])
        opening = "(" if sides[1] == "<" else "["
        closing = ")" if sides[3] == "<" else "]"
        intervals.append(f"{opening}{sides[0]},{sides[4]}{closing}")
    return r"\cup".join(intervals) if len(names) == 1 else None


def _conditions(given: str, truth: str) -> bool | None:
    """Several equations or inequalities in any order, all of them ("x>1, x<3") or one of them ("x<1 or x>3")."""
    separators = []
    lists = []
    for text in (given, truth):
        separators.append(OR if len(_split(text, OR)) > 1 else ",")
        lists.append(_split(text, separators[-1]))
    if not any(len(parts) > 1 and all(map(_is_relation, parts)) for parts in lists):
        return None
    return separators[0] == separators[1] and len(lists[0]) == len(lists[1]) and _same_set(*lists)


def _relations(given: str, truth: str) -> bool | None:
    """Equations and inequalities side by side, also mirrored: "x > 3" and "3 < x"; rearranged equations."""
    sides = _split_with_separators(given, RELATION)
    true_sides = _split_with_separators(truth, RELATION)
    if len(sides) == len(true_sides) == 1:
        return None
    signs = true_sides[1::2]
    for candidate in (sides, _mirrored(sides)):
        if candidate[1::2] == signs and all(map(_equal, candidate[::2], true_sides[::2])):
            return True
    return sides[1::2] == signs == ["="] and same_equation(sides[::2], true_sides[::2])


def _mirrored(sides: list[str]) -> list[str]:
    """3 > x of x < 3, as sides with the signs between them."""
    return [MIRROR.get(side, side) for side in reversed(sides)]


def _members(given: str, truth: str) -> bool | None:
    r"""The set alone of "x \in [1,2]"."""
    values = MEMBER.sub("", given)
    true_values = MEMBER.sub("", truth)
    return None if (values, true_values) == (given, truth) else _equal(values, true_values)


def _structures(given: str, truth: str) -> bool | None:
    """Tuples, intervals and matrices part by part, sets in any order."""
    kind, parts = _shape(given)
    true_kind, true_parts = "scalar", [truth]
    if _number(truth) is None:  # 1,234 is no list
        true_kind, true_parts = _shape(truth)
    if kind != true_kind or len(parts) != len(true_parts):
        return False
    if kind == "scalar":
        return None if (parts, true_parts) == ([given], [truth]) else _equal(*parts, *true_parts)
    if kind == "set":
        return _same_set(parts, true_parts)
    return all(map(_same_part, parts, true_parts))


def _same_part(part: str, true_part: str) -> bool:
    """As _equal, but "x=2" is not "2": "x=3, y=2" is not the set of 2 and 3."""
    return _is_relation(part) == _is_relation(true_part) and _equal(part, true_part)


def _same_set(parts: list[str], true_parts: list[str]) -> bool:
    """Whether each true part equals a part of its own."""
    parts = list(parts)
    for true_part in true_parts:
        match = next((part for part in parts if _same_part(part, true_part)), None)
        if match is None:
            return False
        parts.remove(match)
    return True


COMPARISONS = (_words, _labelled, _systems, _intervals, _conditions, _relations, _members, _structures, same_value)
