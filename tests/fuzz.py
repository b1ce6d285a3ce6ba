r"""Hostile completions, the same ones for the same seed: what a model writes when it goes astray, and what an attacker
would. completion() is one text, columns() what a trainer passes to reward functions for such texts, and RANGES what
each reward function of each script may return.

Texts are drawn from a grammar: each <name> in an alternative is replaced by what the rule of that name, or the function
of that name in MADE, gives. The first alternative of a rule is short: it ends what would go too deep.
"""

import contextlib
import json
import math
import random
import re
import signal
from types import SimpleNamespace

from common.prompts import TAG_SETS
from GRPO_outdomain.certainty import Certainty

# The range that the docstring of each reward function states.
RANGES = {
    "GRPO_indomain/GRPO-1K.py": {"format_exact": (0, 1), "answer_correct": (0, 1)},
    "GRPO_indomain/GRPO-1K-v2.py": {"format_graded": (0, 1), "answer_correct": (0, 1)},
    "GRPO_indomain/GRPO-1K-v3.py": {"format_graded": (0, 1), "answer_correct": (0, 1), "tag_faults": (-4, 0)},
    "GRPO_indomain/GRPO-1K-def.py": {
        "format_exact": (0, 1),
        "format_graded": (-12, 4),
        "answer_ladder": (-4.5, 5),
        "number": (-2.5, 3.5),
    },
    "GRPO_indomain/GRPO-GSM8K.py": {
        "tag_count": (0, 1),
        "soft_format": (0, 1),
        "strict_format": (0, 1),
        "integer": (0, 1),
        "correctness": (0, 1),
    },
    "GRPO_indomain/GRPO-Linear.py": {"answer": (0, 1)},
    "GRPO_indomain/GRPO-Control.py": {"random_reward": (0, 1), "format_exact": (0, 1)},
    "GRPO_outdomain/GRPO-Hybrid.py": {"hybrid": (-3, 1.26)},
    "GRPO_outdomain/GRPO-Intuitor.py": {"intuitor": (-10, 1.5), "self_certainty": (0, math.inf)},
    "GRPO_outdomain/GRPO-DualHead.py": {"dual_head": (-10, 1.2)},
    "BFCL/GRPO_BFCL_v1.py": dict.fromkeys(("valid", "call", "name", "arguments", "no_extra"), (0, 1)),
    "BFCL/GRPO_BFCL_v2.py": dict.fromkeys(("valid", "prefix", "turns", "responses", "concise"), (0, 1)),
}

GRAMMAR = r"""
answer: <number> | <number> | <expression> | <expression>=<expression> | <nest> | <soup> | <strange> | <word>
    | <nothing> | <truth> | <truth> | <truth> | <truth>, <truth> | <truth> <word> | <truth><strange> | <expression> < x
    | x=<number>, y=<number> | (<expression>, <expression>) | \{<expression>, <number>\} | <towers>
truth: 5 | -3 | 0 | 1/3 | 0.5 | 1,234 | 50% | x=2, y=-3 | (3, 2) | yes | B | x > 3 | x^2+1 | \frac{1}{2} | 3\sqrt{2}
    | 2\pi | e^{x} | \{1,2\} | (-\infty, 5] | 10\text{ cm} | \log(x) | \begin{pmatrix}1&2\\3&4\end{pmatrix}
number: <sign><digits> | <sign><digit>.<digits> | <sign><digit>e<sign><exponent> | <sign><digits>/<digits> | 1e400
    | <sign>\frac{<digits>}{<digits>} | <digits>/0 | <digit>,<digits>,<digits> | <digit>% | $<digits> | -1e-400
    | <digit> <digit>/<digit> | <digit><strange> | <digits>.
sign: <nothing> | <nothing> | - | + | − | --
digit: 2 | 0 | 1 | 5 | 7 | 12 | 99 | 00
exponent: 9 | 308 | 309 | 400 | 999 | 9999 | 1000000000
expression: x | y | i | e | \pi | 0 | <digit> | 10^9 | <expression>+<expression> | <expression>-<expression>
    | <expression><expression> | (<expression>)(<expression>) | \frac{<expression>}{<expression>} | <expression>!
    | <expression>^{<expression>} | (<expression>)**(<expression>) | \sqrt{<expression>} | \sqrt[3]{<expression>}
    | \sin(<expression>) | \log_{<expression>}(<expression>) | |<expression>| | <expression> \pm <expression>
word: nan | -nan | inf | -Infinity | ∞ | \infty | None | true | yes | no | A | (B) | not 5 | 3 or 5 | lambda: 0 | {{5}}
    | __import__('os').system('touch pwned') | ().__class__.__mro__ | %s%n | $(touch pwned)
reasoning: <nothing> | <step> | <step><newline><step> | <step>, <reasoning> | <step> <reasoning> | <nest>
step: 2*3=6 | <digit>*<digit>=<digit> | <number> = <number> | <expression> = <answer> | x = <digit>, <soup> | 1/0 = 1
    | <digit>^<digit> = 1 | 1 = 1 = 1 | 2^2^2^2^2 = 5 | <nest> = 5 | = = = | Ann has 3 eggs + 2 = 5
calls: <call> | <call> | <call><call> | <call><newline><call><call> | ok <call> | <think>5</think><call> | <many>
call: <block> | <block> | <block> | <block> | <tool_call><object></tool_call> | <tool_call><newline><object>
    | <tool_call><newline><object><object><newline></tool_call> | <tool_call><newline><text><newline></tool_call>
block: <tool_call><newline><object><newline></tool_call>
object: <plain> | <plain> | <plain> | <plain> | <plain> | <plain> | <plain> | <plain> | {"name": <name>} | <value>
    | {"arguments": {<arguments>}} | {"name": <name>, "arguments": <value>} | {{}} | <deep> | pay(a=<value>) | <nothing>
    | {"name": "pay", "name": <name>, "arguments": {}, "arguments": {<arguments>}}
plain: {"name": <name>, "arguments": {<arguments>}}
name: "pay" | "pay" | "pay" | "note.send" | "note.send" | "pay " | 5 | [] | {} | null | "__import__" | ""
arguments: "a": <value> | <nothing> | "a": <value>, "b": <value> | "a": <value>, "a": <value> | "c": <value>
value: 5 | "late" | [1, 2] | 0.5 | {"k": 1} | null | true | "" | NaN | -Infinity | 1e400 | -0 | 1E-400 | 5, | 'late'
    | <digits> | <quoted> | <quoted> | <deep> | {"k": 1, "k": 2} | "\ud800" | "\u0000"
code: [1, 2] | new ArrayList<>(Arrays.asList(1, 2)) | new HashMap<>() {{ put("k", "v"); }} | {k: 'v'} | 5L | <brackets>
    | new int[]{1, 2} | new Array(5)
"""
RULES = {
    rule.partition(": ")[0]: rule.partition(": ")[2].split(" | ")
    for rule in GRAMMAR.strip().replace("\n    ", " ").split("\n")
}
STRANGE = (
    *(
        "٤٢",
        "４２",
        "²",
        "①",
        "Ⅷ",
        "−5",
        "–5",
        "—5",
        "－5",
        "5\u0301",
        "\u202e24\u202c",
        "\u200f5",
        "\u200b5",
        "\ufeff5",
    ),
    *("\0", "5\0", "\ud800", "\udfff5", "\x85", "\u2028", "5\n\n6", "\t", "\U0001f600", "é" * 200, "ﬁ", "x\u0338"),
)
TOKENS = r"""
\frac{ } \sqrt{ \sqrt[3]{ \left( \right) ^ _ ^{ { ( ) [ ] \{ \} | = == < \le \ne , ; : . / * ** ! % \% $ \$ & \\ \pm
\cup \cdot \times \div \pi \theta \infty \sin \log \ln \lim \int \sum \text{ \boxed{ \begin{pmatrix} \end{pmatrix} x y
i e 0 1 2 7 10 0.5 .5 1e5 1e400 12,345 + - \in ° % and or − ×
""".split()
NESTS = [  # opening, core and closing of what stands inside itself, or beside itself
    line.split("_")
    for line in r"""
\frac{_1_}{2}    \frac{1}{_2_}    \sqrt{_2_}    (_5_)    {_5_}    \{_5_\}    [_5_]    9^{_9_}    9**_9_    -_5_
(5__!)!    \log(_x_)    \sin(_x_)    \text{_a_}    1+_1_    x=_1_    =_5_=    1,_2_    x=1, _y=2_    5 or _6_    1=_1_
\pm _5_    1\cup _2_    ,__    \begin{pmatrix}_1_\end{pmatrix}    1&_1_\\    2*3=6 __    Arrays.asList(_1_)    '\__
""".strip()
    .replace("\n", "    ")
    .split("    ")
]
SIZES = (1, 2, 5, 17, 60, 240, 1000)  # how often something is repeated; an answer of up to 500 characters is read
MADE = {
    "towers": lambda rng: towers([rng.randint(2, 99) for _ in range(15)]),
    "nothing": lambda rng: "",
    "newline": lambda rng: "\n",
    "digits": lambda rng: "".join(rng.choices("0123456789", k=rng.choice((1, 1, 2, 3, 20, 240, 309, 310, 4300, 4301)))),
    "strange": lambda rng: rng.choice(STRANGE),
    "nest": lambda rng: nest(rng, *rng.choice(NESTS)),
    "brackets": lambda rng: nest(
        rng, *rng.choice((("[", "1", "]"), ("{", "", "}"), (" ", "", ""), ("put(", "1", ")")))
    ),
    "deep": lambda rng: rng.choice(("[", '{"a":', '[{"a":')) * rng.choice((5, 900, 10**4)),
    "soup": lambda rng: rng.choice(("", " ")).join(rng.choices(TOKENS, k=rng.choice(SIZES[:6]))),
    "quoted": lambda rng: json.dumps(made(rng, rng.choice(("answer", "code", "code")))),
    "text": lambda rng: made(rng, rng.choice(("answer", "code", "reasoning", "value"))),
    "many": lambda rng: made(rng, "call") * 200,
    "long": lambda rng: (rng.choice(("x", "1", " ", "1=1 ", "(", "<", "</think>", "2*3=6\n", "٤")) * 10**5)[: 10**5],
}


def towers(numbers: list[int]) -> str:
    """A set of expressions that are slow to evaluate."""
    return r"\{" + ", ".join(rf"\log(\log(\log({n}x)))" for n in numbers) + r"\}"


TRUTHS = [*RULES["truth"], "9" * 310, towers(list(range(2, 17)))]


def nest(rng: random.Random, opening: str, core: str, closing: str) -> str:
    n = rng.choice(SIZES)
    return opening * n + core + closing * rng.choice((n, n, n - 1, 0))


def made(rng: random.Random, name: str, depth: int = 0) -> str:
    """A text by the rule, or the function, of that name."""
    if name in MADE:
        return MADE[name](rng)
    chosen = rng.choice(RULES[name]) if depth < 6 else RULES[name][0]
    known = "|".join((*RULES, *MADE))
    return re.sub(f"<({known})>", lambda found: made(rng, found[1], depth + 1), chosen)


def tagged(rng: random.Random) -> str:
    """Reasoning and answer between tags, well-formed more often than not."""
    tags, other = rng.sample(list(TAG_SETS.values()), 2)
    answer = made(rng, "answer" if rng.random() < 0.99 else "long")
    parts = [tags[0], made(rng, "reasoning"), tags[1], tags[2], answer, tags[3]]
    fault, place = rng.randrange(20), rng.choice((0, 2, 3, 5))
    if fault == 0:
        del parts[place]
    elif fault == 1:
        parts.insert(rng.randrange(7), rng.choice(tags))
    elif fault == 2:
        rng.shuffle(parts)
    elif fault == 3:
        parts = [tags[0], *parts, tags[3]]
    elif fault == 4:
        parts = parts * rng.choice((2, 50))
    elif fault == 5:
        parts[place] = other[place // 2]
    elif fault == 6:
        parts.append(rng.choice(("or 43", "<|im_end|>", "\n", "\0", made(rng, "call"))))
    elif fault == 7:
        parts = [tag * rng.choice((3, 10**4)) for tag in rng.sample(tags, 2)]
    elif fault == 8:
        parts = [part.lower().replace("<", "< ") for part in parts]
    elif fault == 9:
        parts = [answer]
    return "".join(parts)


def completion(rng: random.Random, script: str) -> str:
    """One hostile text for a script: an answer between tags, or tool calls; one in ten cut, doubled or overwritten."""
    calls = 0.75 if script.startswith("BFCL") else 0.1
    text = made(rng, "calls") if rng.random() < calls else tagged(rng)
    if rng.random() < 0.1:
        start, end = sorted(rng.randint(0, len(text)) for _ in range(2))
        middle = rng.choice(("", text[start:end] * 2, made(rng, "strange"), made(rng, "word"), made(rng, "soup")))
        text = text[:start] + middle + rng.choice((text[end:], ""))
    return text


def task(category: str, types: tuple[str, str], truth: list[dict]) -> tuple[str, str, str]:
    """The columns `functions`, `solution` and `category` of a task with two functions of arguments a and b."""
    properties = {name: {"type": kind, "description": name} for name, kind in zip("ab", types)}
    for about in properties.values():
        if about["type"] in ("array", "ArrayList"):
            about["items"] = {"type": "integer"}
    parameters = {"type": "dict", "properties": properties, "required": ["a"]}
    functions = [{"name": name, "description": name, "parameters": parameters} for name in ("note.send", "pay")]
    return json.dumps(functions), json.dumps(truth), category


TASKS = (
    task("simple_python", ("integer", "string"), [{"note.send": {"a": [5], "b": ["late", ""]}}]),
    task("multiple", ("array", "float"), [{"pay": {"a": [[1, 2]], "b": [0.5, ""]}}]),
    task("parallel", ("string", "dict"), [{"pay": {"a": ["late"], "b": [{"k": [1]}, ""]}}, {"pay": {"a": [""]}}]),
    task("simple_java", ("ArrayList", "HashMap"), [{"pay": {"a": [[1, 2]], "b": [{"k": ["v"]}]}}]),
    task("simple_javascript", ("array", "dict"), [{"pay": {"a": [[1, 2]], "b": [{"k": ["v"]}]}}]),
    task("irrelevance", ("integer", "string"), []),
)


def certainty(rng: random.Random) -> Certainty:
    """Confidence at its extremes; where there is no solution, it has no confidence."""
    edges = (0.0, 5e-324, 0.5, 0.7, 0.8, 0.8000001, 1.0)
    solution, response = rng.choice((None, *edges)), rng.choice(edges)
    return Certainty(solution, response, rng.choice((0.0, 0.5, 1.0)), rng.choice((0.0, 12.0, 1e6)))


def asked(rng: random.Random, text: str) -> tuple[str, str]:
    """The tag set and the truth of a prompt that the text may answer, as far as it answers any."""
    sets = [name for name, tags in TAG_SETS.items() if tags[3] in text] or list(TAG_SETS)
    truths = [truth for truth in TRUTHS if len(truth) > 2 and truth in text] or TRUTHS
    return rng.choice(sets), rng.choice(truths if rng.random() < 0.5 else TRUTHS)


def columns(rng: random.Random, script: str, texts: list[str]) -> dict:
    """What a trainer passes to the reward functions of a script for these completions."""
    tags, truths = zip(*(asked(rng, text) for text in texts))

    def log_metric(name: str, value: float) -> None:
        assert math.isfinite(value), f"{name} is {value}"

    given = {
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "solution": list(truths),
        "tags": list(tags),
        "trainer_state": SimpleNamespace(global_step=rng.randint(0, 16), max_steps=16),
        "log_metric": log_metric,
        "certainties": [certainty(rng) for _ in texts],
        "prompts": ["?"] * len(texts),
    }
    if script.endswith("v1.py"):
        functions, solutions, categories = map(list, zip(*(rng.choice(TASKS) for _ in texts)))
        given |= {"functions": functions, "solution": solutions, "category": categories}
    elif script.endswith("v2.py"):
        names = ("prefix", "turns", "responses", "concise")
        parts = [{name: rng.choice((0.0, 1 / 3, 1.0)) for name in names} for _ in texts]
        given |= {"parts": [part | {"valid": rng.random() < 0.5} for part in parts], "kinds": [[] for _ in texts]}
    return given


class Hung(BaseException):
    """No Exception, so that a reward function cannot take it for an answer that cannot be read."""


@contextlib.contextmanager
def alarm(seconds: int):
    def ring(number, frame):
        raise Hung(f"no end after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
