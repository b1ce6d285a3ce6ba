"""LoRA updates, without what bfloat16 would lose of them.

Added to a bfloat16 weight, an update of less than half its last bit vanishes: after some dozen GRPO steps at 3e-5 most
of it. Added and subtracted again, as TRL does in place for each generation with vLLM, it leaves a base that has moved.
So an update is never added to 16-bit weights that are still needed:

- vLLM gets the sums, one weight at a time, and the base stays as it is (keep_base).
- adapter/ of a checkpoint is the sum of all LoRA updates since its root, the last model without any. The next stage and
  the tests load the root, and the updates beside it (source, add): the policy as it was trained. A checkpoint therefore
  does not depend on the ones between, only on its root, most often the base from the hub.
- The merged 16-bit weights of a checkpoint are for programs that take one folder: vllm serve, bfcl, the hub.

In float32 nothing of this is needed; there the merged weights are the policy.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from common import runs

Update = dict  # name of a layer -> (a [r, in], b [out, r]) in float32: its weight is meant to be weight + b @ a


def _layers(model) -> dict:
    """The layers of a PEFT model that have a LoRA, by their name in the model without it."""
    from peft.tuners.lora import LoraLayer

    return {name: layer for name, layer in model.get_base_model().named_modules() if isinstance(layer, LoraLayer)}


def _trained(layer) -> tuple:
    """(a, b) of the LoRA that PEFT put on a layer."""
    (name,) = layer.active_adapters
    return layer.lora_A[name].weight.detach().float(), layer.lora_B[name].weight.detach().float() * layer.scaling[name]


def _with_earlier(layer, a, b) -> tuple:
    """(a, b) with what add() put beside the layer before it."""
    import torch

    if not hasattr(layer, "earlier_a"):
        return a, b
    return torch.cat([layer.earlier_a, a]), torch.cat([layer.earlier_b, b], dim=1)


def _change(layer, a, b):
    """The change of a layer's weight, b @ a; GPT-2's Conv1D has its weight transposed."""
    return (b @ a).T if type(layer).__name__ == "Conv1D" else b @ a


def trained(model) -> Update:
    """The update that a PEFT model has learned."""
    return {name: _trained(layer) for name, layer in _layers(model).items()}


def total(model) -> Update:
    """The update since the root: that of trained(), and those of earlier stages."""
    return {name: _with_earlier(layer.base_layer, *_trained(layer)) for name, layer in _layers(model).items()}


def add(model, update: Update) -> None:
    """Add an update to a model: to weights in float32, else beside them, as a frozen LoRA."""
    import torch

    linear = torch.nn.functional.linear

    def beside(layer, seen, output):  # as PEFT calculates its own
        return (output + linear(linear(seen[0].float(), layer.earlier_a), layer.earlier_b)).to(output.dtype)

    for name, (a, b) in update.items():
        layer = model.get_submodule(name)
        a, b = a.to(layer.weight.device), b.to(layer.weight.device)
        if layer.weight.dtype == torch.float32:
            layer.weight.data += _change(layer, a, b)
        else:  # not persistent: they are part of the base, which checkpoints of a run do not hold
            layer.register_buffer("earlier_a", a, persistent=False)
            layer.register_buffer("earlier_b", b, persistent=False)
            layer.register_forward_hook(beside)


def merge(model, update: Update) -> float:
    """Add an update, and those that add() put beside, to the weights of a model, to save it; it must not run any more.

    Returns the fraction of the update that rounding leaves: <update, change> / <update, update>, where the change is
    from the rounded sum without it to the rounded sum with it. What rounding adds in other directions does not count.
    """
    kept = norm = 0.0
    for name, (a, b) in update.items():
        layer = model.get_submodule(name)
        before, device = layer.weight.data.float(), layer.weight.device
        wanted = _change(layer, a.to(device), b.to(device))
        if hasattr(layer, "earlier_a"):
            before = before + _change(layer, layer.earlier_a, layer.earlier_b)
        after = (before + wanted).to(layer.weight.dtype)
        change = after.float() - before.to(after.dtype).float()
        kept, norm = kept + (change * wanted).sum().item(), norm + (wanted**2).sum().item()
        layer.weight.data = after
    return kept / norm if norm else 1.0


def merged(model) -> Iterator:
    """(name, weight) of a PEFT model as if its updates were merged, one weight at a time; the model stays as it is."""
    layers = {f"{name}.base_layer.weight": layer for name, layer in _layers(model).items()}
    for name, weight in model.get_base_model().named_parameters():
        if layer := layers.get(name):
            a, b = _with_earlier(layer.base_layer, *_trained(layer))
            change = _change(layer.base_layer, a, b)
            yield name.replace(".base_layer", ""), (weight.data.float() + change).to(weight.dtype)
        elif model.prefix not in name:
            yield name.replace(".base_layer", ""), weight.data  # the bias of such a layer, or a weight of another one


def keep_base(engine) -> None:
    """Make TRL's VLLMGeneration read merged(), where it would merge a LoRA in place and take it out again."""
    import torch
    from peft import PeftModel

    def named_params():
        with torch.no_grad():
            yield from merged(engine.model)

    if isinstance(engine.model, PeftModel):
        engine._iter_named_params = named_params


def save(update: Update, folder: Path, base: str) -> None:
    """Write an update as a LoRA of scale 1 on a base, in PEFT's format."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    rank = len(next(iter(update.values()))[0])
    names = sorted({name.rpartition(".")[2] for name in update})
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=names, task_type="CAUSAL_LM", inference_mode=True)
    config.base_model_name_or_path = runs.shown(base)
    config.save_pretrained(str(folder))
    parts = {f"{name}.lora_{side}.weight": part for name, pair in update.items() for side, part in zip("AB", pair)}
    parts = {f"base_model.model.{name}": part.cpu().contiguous() for name, part in parts.items()}
    save_file(parts, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})


def read(folder: Path) -> Update:
    """What save() wrote."""
    from safetensors.torch import load_file

    parts = load_file(str(folder / "adapter_model.safetensors"))
    parts = {name.removeprefix("base_model.model.").removesuffix(".weight"): part for name, part in parts.items()}
    names = [name.removesuffix(".lora_A") for name in parts if name.endswith(".lora_A")]
    return {name: (parts[f"{name}.lora_A"], parts[f"{name}.lora_B"]) for name in names}


def rank(folder: Path) -> int:
    """The rank of what save() wrote."""
    return json.loads((folder / "adapter_config.json").read_text())["r"]


def source(base: str) -> tuple[str, Path | None]:
    """(root, folder of the update on it) of a checkpoint; (base, None) where its own weights are to be loaded.

    So they are where it has no 16-bit LoRA, and where the parts are gone or were made again: then one line says it.
    """
    folder, record = Path(base), Path(base) / "run.json"
    facts = json.loads(record.read_text()) if record.exists() else {}
    if "root" not in facts:
        return base, None
    local, adapter = runs.resolve(facts["root"]), folder / "adapter"
    root = str(local) if local.exists() else facts["root"]
    if runs.made(root) == facts.get("root_made") and adapter.is_dir():
        return root, adapter
    print(
        f"{runs.shown(folder)}: its adapter/ or its root {facts['root']} is gone, or the root was made again; loading "
        f"its merged weights, which hold {facts['update_kept']:.0%} of the last update"
    )
    return base, None
