"""TRL's trainers of answers (SFT) and of pairs (DPO), except that nothing is computed twice or for nothing.

The losses are the same. Logits are computed where there is a label and nowhere else: half of a row is prompt and the vocabulary is
a fifth of the bundled model. (TRL does the same with its Triton kernel on CUDA, but scores every position elsewhere.) And the first
tokens, which are those of every row (template and system message), are computed once a batch: their keys and values serve all
rows, with gradients. Models that do more than multiply with their head train as TRL has it. Functions, because importing trl takes seconds.
"""

import functools
from types import MethodType

import prompt

# of a model's config: what some models do to logits behind the head, or add to the loss
SCALES = ("logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling", "final_logit_softcapping")
ROUTES = "output_router_logits"


def shared_tokens(tokenizer, frame):
    """How many first tokens all rows have in common."""
    return len(prompt.hf(tokenizer)(frame["prefix"], True))


def inner(model):
    """The causal language model in an adapter's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def plain(model):
    """Whether the logits of a model are its last hidden states times its head, and its loss comes from them alone."""
    config = model.config.get_text_config()
    return not getattr(config, ROUTES, False) and all(getattr(config, key, None) in (None, 1, 1.0) for key in SCALES)


def hidden_states(model, input_ids, shared, **kwargs):
    """Last hidden states of all but the shared tokens (batch, length - shared, width)."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    kept = all(type(layer) is DynamicLayer for layer in cache.layers)  # not by sliding windows, nor by state spaces
    if not shared or not kept or (model.training and model.is_gradient_checkpointing):  # which throws the cache away
        return model.base_model(input_ids, **{**kwargs, "use_cache": False}).last_hidden_state[:, shared:]
    model.base_model(input_ids[:1, :shared], past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(input_ids))
    kwargs |= {"past_key_values": cache, "use_cache": True}
    return model.base_model(input_ids[:, shared:], **kwargs).last_hidden_state


def labelled(model, labels, shared, **kwargs):
    """(logits (n, vocabulary) in float32, labels (n), their places (n) in a flat (batch, length - shared - 1)) where a label is.

    n is a multiple of 128 where there are as many positions, of which the last have no label but -100: see finetune.padding().
    """
    import torch

    head = model.get_output_embeddings()
    hidden = hidden_states(model, shared=shared, **kwargs)[:, :-1].flatten(0, 1).to(head.weight.device)
    targets = labels[:, shared + 1 :].to(hidden.device).flatten()
    where = (targets != -100).nonzero().flatten()
    masked = (targets == -100).nonzero().flatten()[: -len(where) % 128]
    where = torch.cat([where, masked])
    return head(hidden[where]).float(), targets[where], where


def patch(trainer, forward):
    """Have the model of a trainer compute by `forward`, if it is plain; what it was goes on as full_forward. Returns whether it is."""
    model = inner(trainer.model)
    if plain(model):
        model.full_forward = model.forward
        named = functools.wraps(type(model).forward)(forward)  # generate() reads the signature
        model.forward = MethodType(named, model)
    return plain(model)


def of_answers():
    """SFTTrainer: the loss is the mean over all labels of the global batch, as in transformers."""
    import math

    import torch.nn.functional as F
    from trl import SFTTrainer

    def forward(self, *args, labels=None, num_items_in_batch=None, shared=None, **kwargs):
        if shared is None:
            return self.full_forward(*args, labels=labels, **kwargs)
        logits, targets, _ = labelled(self, labels, shared, **kwargs)
        count = (targets != -100).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": F.cross_entropy(logits, targets, reduction="sum") / count}

    class ResponseTrainer(SFTTrainer):
        shared = 0  # see shared_tokens(); set before training

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.patched = patch(self, forward)

        def evaluate(self, *args, **kwargs):
            metrics = super().evaluate(*args, **kwargs)
            if "eval_loss" in metrics:
                self.log({"eval_perplexity": math.exp(min(50, metrics["eval_loss"]))})
            return metrics

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            if not self.patched:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            out = model(**inputs, shared=self.shared, num_items_in_batch=num_items_in_batch)
            loss = out["loss"]
            if num_items_in_batch is not None and self.args.average_tokens_across_devices:
                loss = loss * self.accelerator.num_processes
            return (loss, out) if return_outputs else loss

    return ResponseTrainer


def of_pairs():
    """DPOTrainer: it asks the model and its reference for the log-probability of each label, and logs what else it is told."""
    import torch
    import torch.nn.functional as F
    from trl import DPOTrainer
    from trl.trainer.utils import FusedCausalLMOutput

    def score(model, labels, shared, **kwargs):
        """What TRL's own fused head returns: each field (batch, length - 1), zero where there is no label."""
        logits, targets, where = labelled(model, labels, shared, **kwargs)
        rows, length = labels.shape
        known = targets != -100

        def spread(values):
            flat = values.new_zeros(rows * (length - shared - 1)).scatter(0, where, values.masked_fill(~known, 0))
            return F.pad(flat.view(rows, -1), (shared, 0))

        log_probs = logits.log_softmax(-1)
        with torch.no_grad():
            entropy = -(log_probs.exp() * log_probs).sum(-1)
            seen = {
                "entropy": spread(entropy),
                "mean_logits": spread(logits.mean(-1)),
                "is_top1": spread((logits.argmax(-1) == targets).float()).bool(),
            }
        return FusedCausalLMOutput(log_probs=spread(log_probs.gather(1, targets.clamp(min=0)[:, None])[:, 0]), **seen)

    class PairTrainer(DPOTrainer):
        shared = 0  # see shared_tokens(); set before training

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            trainer = self

            def forward(self, *args, fused_lm_head=False, labels=None, **kwargs):
                if not fused_lm_head:
                    return self.full_forward(*args, labels=labels, **kwargs)
                return score(self, labels, trainer.shared, **kwargs)

            patch(self, forward)

        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset  # tokenized by our one prompt function already

    return PairTrainer
