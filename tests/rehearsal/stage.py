"""A stage as a user with a GPU runs it, on the CPU build of vLLM: python tests/rehearsal/stage.py SCRIPT ARGUMENTS...

What that build lacks is replaced here, so that the pipeline need not know of it; and what a test wants to know of a run
is written to the file $NOTES, one JSON object a line. $ENGINE is the type of vLLM's weights, float32 or bfloat16.
"""

import functools
import json
import multiprocessing
import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}  # in vLLM one weight


def note(**facts) -> None:
    if "NOTES" in os.environ:
        with open(os.environ["NOTES"], "a") as notes:
            notes.write(json.dumps(facts) + "\n")


def replace_what_the_cpu_build_lacks() -> None:
    import torch
    import trl.generation.vllm_generation as colocate
    import vllm
    import vllm.model_executor.layers.utils as layers

    from common import models

    def unpacked(layer, remove_weight):  # packed weights cannot be synced
        layer.cpu_linear = torch.nn.functional.linear

    # Prefill in chunks breaks seeded sampling on a CPU.
    how = {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": 16384}
    how["dtype"] = os.environ.get("ENGINE", "float32")
    start = vllm.LLM

    def engine(**named):
        note(engine=named["model"], lora=named.get("enable_lora", False), others=len(multiprocessing.active_children()))
        return start(**named | how)

    layers.dispatch_cpu_unquantized_gemm = unpacked
    vllm.LLM = colocate.LLM = engine
    models.check_device = lambda args: None  # it asks for CUDA


def trained(model) -> dict:
    """The weights that vLLM should have: those of the trainer with all their updates, in float32."""
    import torch

    whole = {}
    for name, module in model.named_modules():
        name, weight = name.removeprefix("base_model.model."), getattr(module, "weight", None)
        if hasattr(module, "base_layer"):
            weight = module.base_layer.weight.float() + module.get_delta_weight("default")
            if hasattr(module.base_layer, "earlier_a"):
                weight = weight + module.base_layer.earlier_b @ module.base_layer.earlier_a
        if weight is not None and "lora_" not in name and "base_layer" not in name:
            whole[f"{name}.weight"] = weight.detach().float()
            if getattr(module, "bias", None) is not None:
                whole[f"{name}.bias"] = module.bias.detach().float()
    for joined, parts in JOINED.items():
        for name in [name for name in whole if parts[0] in name]:
            whole[name.replace(parts[0], joined)] = torch.cat([whole[name.replace(parts[0], part)] for part in parts])
    return whole


def watch_generation() -> None:
    """Notes of each generation: how far vLLM's weights are from the trainer's, a hash of the base, lengths."""
    import torch
    from trl.generation.vllm_generation import VLLMGeneration

    generate = VLLMGeneration.generate

    @functools.wraps(generate)
    def watched(self, prompts, *given, **named):
        wanted, apart = trained(self.model), 0.0
        held = dict(self.llm.llm_engine.model_executor.driver_worker.model_runner.model.named_parameters())
        for name, weight in held.items():
            if name in wanted:
                weight, whole = weight.detach().float()[: len(wanted[name])], wanted[name]
                apart = max(apart, ((weight - whole).abs() / whole.abs().clamp(min=2**-20)).max().item())
        frozen = [weight for weight in self.model.parameters() if not weight.requires_grad]
        base = hash(tuple(torch.hash_tensor(weight.detach().view(torch.uint8)).item() for weight in frozen))
        made = generate(self, prompts, *given, **named)
        note(
            apart=apart,
            unknown=[name for name in held if name not in wanted],
            base=base,
            temperature=self.temperature,
            limit=self.max_completion_length,
            prompts=[len(ids) for ids in prompts],
            lengths=[len(ids) for ids in made[1]],
        )
        return made

    VLLMGeneration.generate = watched


def watch_certainty() -> None:
    """Notes of each measurement: the largest difference to one forward pass a completion."""
    import torch

    from GRPO_outdomain.trainer import GRPOTrainer

    certainties = GRPOTrainer.certainties

    def watched(self, prompts, completion_ids, tags):
        found = certainties(self, prompts, completion_ids, tags)
        model, was, apart = self.model, self.model.training, 0.0
        model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for asked, ids, row in zip(prompts, completion_ids, found):
                prompt = self.processing_class.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
                logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
                taken = logits.log_softmax(-1).gather(1, torch.tensor(list(ids))[:, None])
                apart = max(apart, abs(taken.mean().exp().item() - row.response))
        model.train(was)
        note(certainty_apart=apart, completions=len(found), kept=bool(self.batch_completions))
        return found

    GRPOTrainer.certainties = watched


if __name__ == "__main__":  # an engine in a process of its own imports this file again
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "ERROR"}
    replace_what_the_cpu_build_lacks()
    watch_generation()
    watch_certainty()
    sys.argv = [str(ROOT / sys.argv[1]), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
