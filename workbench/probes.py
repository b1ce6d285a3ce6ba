"""Probes: texts that no policy should be rewarded for, and two with a correct answer to compare them with."""

from common import answers, prompts

COUNT = 4  # questions; a probe gets the median over them
COMPARED = ("correct answer", "correct, no last tag")  # the probes with a correct answer


def questions(rows: list[dict]) -> list[tuple[dict, str]]:
    """The first questions, each with an incorrect answer: the truth of another one, where there is another."""
    unique = list({row["question"]: row for row in rows}.values())
    candidates = [*(row["solution"] for row in unique), "0", "1"]
    pairs = []
    for row in unique[:COUNT]:
        incorrect = (candidate for candidate in candidates if not answers.is_correct(candidate, row["solution"]))
        pairs.append((row, next(incorrect)))
    return pairs


def texts(truth: str, other: str, prompt: str, tags: prompts.Tags) -> dict[str, str]:
    """{name: completion}; other: an incorrect answer."""

    def completion(reasoning: str, answer: str) -> str:
        return prompts.build_completion(reasoning, answer, tags)[0]["content"]

    correct = completion("1+1=2", truth)
    return {
        "correct answer": correct,
        "correct, no last tag": correct.removesuffix(tags.answer_close),
        "incorrect answer": completion("1+1=2", other),
        "empty": "",
        "tags alone": "".join(tags),
        "tags repeated": completion("", other) * 20,
        "truth in reasoning": completion(f"The answer is {truth}.", other),
        "many answers": completion("1+1=2", ", ".join([other, truth, *map(str, range(10))])),
        "digits without end": completion("1+1=2", "7" * 5000).removesuffix(tags.answer_close),
        "another language": completion("先把两个方程相加，再求解。", other),
        "prompt copied": prompt,
        "100,000 characters": completion("1+1=2\n" * 16_667, other),
    }
