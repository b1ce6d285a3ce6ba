"""A page in the browser: two checkpoints answer a question side by side, each reward under its completion.

Questions of outputs/data/, or typed; checkpoints of outputs/ and resources/; rewards of any GRPO script, read again
when it is edited. Second tab: the report of rewards.py on samples of a checkpoint. Served on 127.0.0.1 for this machine
alone.

Input: checkpoints. Output: on the page.
Command: make demo
Command: python demo/app.py --port 8080
"""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import kinds, models, runs, settings
from common.settings import setting
from demo import content


@dataclass
class Args(settings.ProfileArgs):
    port: int = setting(7861, "port on 127.0.0.1; 7860 is gradio's own, often taken", low=1, high=65535)
    left: str = setting("Qwen/Qwen3-4B-Base", "first checkpoint: a folder or a hub name", tiny="resources/tiny-base")
    right: str = setting("", "second checkpoint [outputs/GRPO-1K-def, else an embedded one]")
    rewards: str = setting("GRPO_indomain/GRPO-1K-def.py", "script with the rewards that are shown first")
    seed: int = setting(0, "seed of sampled answers")
    max_new_tokens: int = setting(1536, "tokens of a completion", tiny=160)


STYLE = """
.text { font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; overflow: auto; max-height: 30em;
  padding: .6em; margin-bottom: .4em; border: 1px solid var(--border-color-primary); border-radius: 6px }
.text b { opacity: .6; font-weight: 600 }
.work { background: #3b82f622 } .answer { background: #22c55e3a } .call { background: #f59e0b33 }
.verdict { margin: .3em 0 } .correct { color: #15803d } .incorrect { color: #b91c1c } .line { color: #b91c1c }
.rewards td { padding: .15em .6em; vertical-align: top; border-top: 1px solid var(--border-color-primary) }
.rewards td:last-child { opacity: .7 } footer { display: none !important }
iframe { width: 100%; height: 80em; border: 0; background: white }
"""


def page(gr, args):
    """The page, a gradio.Blocks. Every function below answers one event; its outputs are named where it is bound."""

    def opened():
        """What a page shows first; it is read anew for each page, as outputs/ changes."""
        names, scripts = list(dict.fromkeys([args.left, *content.checkpoints()])), content.scripts()
        left, right = gr.Dropdown(names, value=args.left), gr.Dropdown(names, value=args.right or content.best(names))
        script = gr.Dropdown(scripts, value=args.rewards if args.rewards in scripts else scripts[0])
        return left, right, gr.Dropdown(content.sources(), value="linear"), script, script, right

    def row_of(source, number) -> tuple:
        """A question and its kind."""
        try:
            rows, kind = content.rows_of(source)
        except SystemExit as error:
            raise gr.Error(content.visible(content.message(error))) from None
        return rows[(int(number or 1) - 1) % len(rows)], kind

    def fill(source, number):
        """The question and its correct answer."""
        row, _ = row_of(source, number)
        return row["question"], row["solution"]

    def check(question, truth, source, number):
        return content.truth_of(row_of(source, number)[0], question, truth)

    def ask(question, truth, source, number, left, right, script, temperature):
        """Both answers and their rewards, a token further each time."""
        question = (question or "").encode(errors="replace").decode()
        truth = (truth or "").encode(errors="replace").decode()
        if not question.strip() or len(question) + len(truth) > content.MAX_CHARACTERS:
            problem = f"the question has {len(question):,} characters; 1 to {content.MAX_CHARACTERS:,} are taken"
            yield content.line(problem), "", "", ""
            return
        row, kind = row_of(source, number)
        solution = content.truth_of(row, question, truth)
        if question.split() != row["question"].split():
            row, kind = {"question": question}, kinds.MATH
        row = row | {"solution": solution}
        answers = [content.answer(name, row, kind, script, temperature, args) for name in (left, right)]
        latest = [("", ""), ("", "")]
        for parts in itertools.zip_longest(*answers):  # None where one is finished before the other
            latest = [part or before for part, before in zip(parts, latest)]
            yield *latest[0], *latest[1]

    with gr.Blocks(title="GRPO: base and trained side by side", analytics_enabled=False, fill_width=True) as blocks:
        with gr.Tab("Ask"):
            with gr.Row():
                source = gr.Dropdown(["linear"], value="linear", label="Questions of", scale=1)
                number = gr.Number(1, precision=0, minimum=1, label="Number", scale=1)
                script = gr.Dropdown(label="Rewards of", scale=2)
                temperature = gr.Slider(0, 1.5, 0, step=0.1, label="Temperature", scale=1)
            with gr.Row():
                question = gr.Textbox(label="Question, to edit as you like", lines=3, scale=4, elem_id="question")
                truth = gr.Textbox(label="Correct answer", lines=3, scale=1, elem_id="truth")
            with gr.Row():
                start = gr.Button("Ask both", variant="primary", elem_id="ask")
                stop = gr.Button("Stop")
            with gr.Row():
                with gr.Column():
                    left = gr.Dropdown(label="Checkpoint")
                    left_text, left_facts = gr.HTML(elem_id="left_text"), gr.HTML(elem_id="left_facts")
                with gr.Column():
                    right = gr.Dropdown(label="Checkpoint")
                    right_text, right_facts = gr.HTML(elem_id="right_text"), gr.HTML(elem_id="right_facts")
        with gr.Tab("Rewards"):
            with gr.Row():
                script_to_check = gr.Dropdown(label="Rewards to check", scale=2)
                choice = gr.Textbox(label="Which reward, where it has several", scale=1)
                policy = gr.Dropdown(label="Samples of", scale=2)
                source_of_samples = gr.Textbox("linear", label="Data set", scale=1)
            look = gr.Button("Sample and report", variant="primary", elem_id="look")
            workbench = gr.HTML(elem_id="workbench")

        inputs = [question, truth, source, number, left, right, script, temperature]
        event = start.click(ask, inputs, [left_text, left_facts, right_text, right_facts])
        stop.click(None, cancels=[event])
        look.click(content.workbench, [script_to_check, choice, policy, source_of_samples], workbench)
        question.change(check, [question, truth, source, number], truth)
        gr.on([source.change, number.change], fill, [source, number], [question, truth])
        blocks.load(opened, outputs=[left, right, source, script, script_to_check, policy])
        blocks.load(fill, [source, number], [question, truth])
    return blocks


def main(args):
    try:
        import gradio as gr
    except ImportError:
        runs.fail("gradio is not installed; use make demo, or: pip install -r requirements/demo.txt")
    models.check_device(args)
    if not content.checkpoints():
        runs.fail(
            "there is no checkpoint, not even resources/tiny-base; first run: git checkout resources, or make run"
        )
    for name in filter(None, (args.left, args.right)):
        runs.require_base(name, "the script that makes it")
    blocks = page(gr, args)
    address = {"server_name": "127.0.0.1", "server_port": args.port, "share": False}
    try:
        blocks.launch(**address, ssr_mode=False, quiet=True, prevent_thread_lock=True, css=STYLE)
    except OSError:
        runs.fail(f"port {args.port} is in use, or not allowed; choose another one with --port")
    print(f"http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
