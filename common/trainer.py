"""TRL's GRPOTrainer with what a run here needs beside it, as a subclass that overrides methods of it.

- A Llama, Mistral, Qwen2 or Qwen3 in float32 on the CPU generates with decode.decode(), and its log-probabilities
  come from decode.log_probs(); other models keep TRL's ways.
- Completions without advantage are left out of the backward pass on request (skip_no_signal).
- A group counts as without signal where its rewards are equal but for rounding.
- vLLM is seeded with --seed, and reads the weights without moving the base.

Most of the methods are private; tests/test_private_names.py fails first where a new version of TRL lacks one.
"""

import torch
import trl
from transformers import set_seed

from common import decode, lora

ROUNDING = 0.01  # advantages are in standard deviations; smaller ones are what rounding leaves of equal rewards
SPREAD = 1e-6  # of the largest reward of a group; a smaller difference is what rounding leaves of equal sums


def fraction_without_signal(rewards, weights, group_size: int) -> float:
    """The fraction of groups whose completions all have the same reward; rewards: [completions, functions].

    TRL counts a group whose sums are all 0.6 as one with a signal: in float32 their standard deviation is not 0.
    """
    sums = (rewards * weights.to(rewards.device)).nansum(1).view(-1, group_size)
    equal = sums.amax(1) - sums.amin(1) <= SPREAD * sums.abs().amax(1)
    return equal.float().mean().item()


class GRPOTrainer(trl.GRPOTrainer):
    """Takes the arguments of TRL's trainer; `args` is a grpo.Args, and the data set has the columns of to_prompts().

    batch_rows: the column `row` of the prompts in the last generation batch.
    batch_completions: what decode.decode() gave for that batch, with the states before the output layer; empty with
    another engine, and once the batch has its rewards.
    """

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.batch_rows: list[int] = []
        self.batch_completions: list[decode.Completion] = []
        self.no_signal = 0.0  # fraction of the groups of that batch
        self.skips_no_signal = self.args.skip_no_signal and self._is_sum_over_completions()
        self.decodes = self._can_decode()
        self.shares_prompts = self.decodes and self._can_share_prompts()
        if self.use_vllm:
            # TRL seeds vLLM with the number of the process, 0, and building vLLM has reset all generators.
            set_seed(self.args.seed)
            lora.keep_base(self.vllm_generation)

    def _is_sum_over_completions(self) -> bool:
        """Whether the loss is a sum over completions in which one without advantage counts 0."""
        args = self.args
        if args.loss_type != "dapo" or args.scale_rewards != "group" or args.top_entropy_quantile != 1.0:
            return False
        return not (args.beta or self._entropy_bonus_enabled or self.aux_loss_enabled)

    def _can_decode(self) -> bool:
        """Whether decode.decode() samples as the settings say, from a model that it fits."""
        args = self.args
        if self.use_vllm or args.bf16 or args.fp16:
            return False
        if args.generation_kwargs or args.min_p or args.repetition_penalty != 1.0:
            return False
        return decode.fits(self.model)

    def _can_share_prompts(self) -> bool:
        """Whether decode.log_probs() gives the log-probabilities that the settings ask for."""
        # An entropy bonus needs the gradient of the entropy, which decode.log_probs() does not give.
        args = self.args
        return not (args.gradient_checkpointing or args.mask_truncated_completions or self._entropy_bonus_enabled)

    def _get_per_token_logps_and_entropies(
        self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, **others
    ):
        """(log-probabilities, entropies, None) of the completions, from decode.log_probs() where that fits.

        batch_size: completions in one forward pass [all]. The reference model, a second one, keeps TRL's way.
        """
        if not self.shares_prompts or model is not self.model:
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, **others
            )
        start = input_ids.shape[1] - logits_to_keep
        size = batch_size or len(input_ids)
        parts = []
        for ids, mask in zip(input_ids.split(size), attention_mask.split(size)):
            parts.append(decode.log_probs(model, ids, mask, start, self.temperature))
        log_p, entropy = map(torch.cat, zip(*parts))
        return log_p, entropy, None

    def _generate_single_turn(self, prompt_ids, *given, **named):
        """(completions, None): lists of token ids, one for each prompt."""
        if not self.decodes:
            return super()._generate_single_turn(prompt_ids, *given, **named)
        config = self.generation_config
        sampling = config.temperature, config.top_p, config.top_k
        self.batch_completions = decode.decode(
            self.model, prompt_ids, config.max_new_tokens, config.eos_token_id, sampling
        )
        return [completion.ids for completion in self.batch_completions], None

    def _generate_and_score_completions(self, inputs):
        """TRL's batch, with `entropy` [completions, 2] where it is known: the sum over the tokens, and their number."""
        self.batch_completions = []
        self.batch_rows = [example["row"] for example in inputs]
        self._log_completion_extra("row", self.batch_rows)
        batch = super()._generate_and_score_completions(inputs)
        self._metrics["train"]["frac_reward_zero_std"][-1] = self.no_signal
        if len(self.batch_completions) == len(inputs) and "tool_mask" not in batch:
            batch["entropy"] = torch.tensor([(one.entropy, len(one.ids)) for one in self.batch_completions])
        self.batch_completions = []
        return batch

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self.no_signal = fraction_without_signal(rewards, self.reward_weights, self.num_generations)
        return rewards

    def _compute_loss(self, model, inputs):
        """TRL's loss, of the completions with an advantage where skip_no_signal allows it: the gradient is the same.

        The entropy that is logged is that of generation, of all completions, where it is known.
        """
        loss = super()._compute_loss(model, self._with_signal(inputs) if self.skips_no_signal else inputs)
        if "entropy" in inputs:
            total, count = inputs["entropy"].sum(0).tolist()
            self._metrics["train"]["entropy"][-1] = total / count
        return loss

    def _with_signal(self, inputs: dict) -> dict:
        """The completions of a batch whose advantage is not 0; at least one, as a loss of nothing has no gradient."""
        signal = inputs["advantages"].abs() >= ROUNDING
        count = max(1, int(signal.sum()))
        places = signal.int().argsort(descending=True, stable=True)[:count]
        batch = dict(inputs)
        for name, value in inputs.items():
            if torch.is_tensor(value) and value.shape[:1] == signal.shape:
                batch[name] = value[places]
        return batch

    def rollouts(self) -> list[dict]:
        """The last generation batch: row, prompt, completion, rewards and advantage of each."""
        logs = self._logs
        columns = logs["extra"]["row"], logs["prompt"], logs["completion"], logs["advantages"]
        rollouts = []
        for place, (row, prompt, completion, advantage) in enumerate(zip(*columns, strict=True)):
            rewards = {name: values[place] for name, values in logs["rewards"].items()}
            rollouts.append(
                {"row": row, "prompt": prompt, "completion": completion, "rewards": rewards, "advantage": advantage}
            )
        return rollouts
