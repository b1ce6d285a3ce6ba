"""The trainer for rewards with a parameter `certainties`: they get the confidence of the policy in each completion."""

from common import trainer
from GRPO_outdomain import certainty


class GRPOTrainer(trainer.GRPOTrainer):
    """The trainer of common/, with a column `certainties` for the rewards."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        certainty.check_model(self.model)

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        tags = [example["tags"] for example in inputs]
        values = self.certainties(prompts, completion_ids_list, tags)
        inputs = [example | {"certainties": value} for example, value in zip(inputs, values, strict=True)]
        return super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)

    def certainties(self, prompts: list, completion_ids: list, tags: list[str]) -> list[certainty.Certainty]:
        """The confidence of the policy, as it is now, in each completion of the last generation batch.

        tags: the name of the tag set that each prompt asks for.
        """
        model = self.model
        if [one.ids for one in self.batch_completions] == completion_ids:
            states = [one.states for one in self.batch_completions]
            figures = certainty.state_figures(model, states, completion_ids)
        else:  # vLLM and transformers keep no states
            prompt_ids = self._tokenize_prompts(prompts)[0]
            size, precision = self.args.per_device_train_batch_size, self.accelerator.autocast()
            figures = certainty.token_figures(model, prompt_ids, completion_ids, size, precision)
        return certainty.of_figures(model, self.processing_class, figures, completion_ids, tags)
