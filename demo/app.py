"""A page in the browser: two checkpoints answer a question side by side, each reward under its completion.

Questions of outputs/data/, or typed; checkpoints of outputs/ and resources/; rewards of any GRPO script, read again
when it is edited. Second tab: tables and pictures of resources/. Third tab: a run while it trains. Served on 127.0.0.1
for this machine alone.

Input: checkpoints. Output: on the page.
Command: make demo
Command: python demo/app.py --port 8080
"""

import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "ToolUse")]

from run_examples import to_row
from tool_executor import ToolExecutor

from common import kinds, models, runs, settings
from common.settings import setting
from demo import content


@dataclass
class Args(settings.ProfileArgs):
    port: int = setting(7861, "port on 127.0.0.1; 7860 is that of trackio", low=1, high=65535)
    left: str = setting("Qwen/Qwen3-4B-Base", "first checkpoint: a folder or a hub name", tiny="resources/tiny-base")
    right: str = setting("", "second checkpoint [outputs/GRPO-1K-def, else an embedded one]")
    rewards: str = setting("GRPO_indomain/GRPO-1K-def.py", "script with the rewards that are shown first")
    tools: str = setting("ToolUse/configs/tools.json", "JSON file with the schemas of the tools")
    seed: int = setting(0, "seed of sampled answers")
    max_new_tokens: int = setting(1536, "tokens of a completion", tiny=160)
    max_turn_steps: int = setting(8, "completions of a conversation with tools", tiny=4, low=1)
    seconds: float = setting(2, "between two looks at a run that trains", low=0.5)


STYLE = """
.text { font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; overflow: auto; max-height: 30em;
  padding: .6em; margin-bottom: .4em; border: 1px solid var(--border-color-primary); border-radius: 6px }
.text b { opacity: .6; font-weight: 600 }
.work { background: #3b82f622 } .answer { background: #22c55e3a } .call { background: #f59e0b33 } 
.result { background: #a855f722 }
.verdict { margin: .3em 0 } .correct { color: #15803d } .incorrect { color: #b91c1c } .line { color: #b91c1c }
.rewards td { padding: .15em .6em; vertical-align: top; border-top: 1px solid var(--border-color-primary) }
.rewards td:last-child { opacity: .7 } footer { display: none !important }
"""
RESULTS = runs.ROOT / "resources"


def page(gr, args, executor: ToolExecutor):
    """The page, a gradio.Blocks. Every function below answers one event; its outputs are named where it is bound."""

    def names() -> list[str]:
        return list(dict.fromkeys([args.left, *content.checkpoints()]))

    def opened():
        """What a page shows first; it is read anew for each page, as outputs/ changes."""
        scripts = content.scripts()
        return (
            gr.Dropdown(names(), value=args.left),
            gr.Dropdown(names(), value=args.right or content.best(names())),
            gr.Dropdown(content.sources(), value="linear"),
            gr.Dropdown(scripts, value=args.rewards if args.rewards in scripts else scripts[0]),
        )

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

    def suit(source, right):
        """The checkpoint that fits the questions, unless another one was chosen by hand."""
        suggested = [content.best(names(), kind) for kind in ("math", "tools", content.kind_of(source))]
        return suggested[-1] if right in suggested else right

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
        has_tools = kind.name == "tools"
        known = content.is_of(row, question)
        if has_tools and not known:
            row = to_row({"prompt": question}, executor)
        elif not has_tools:
            solution = content.truth_of(row, question, truth)
            if not known:
                row = {"question": question}
                kind = kinds.MATH
            row = {**row, "solution": solution}
        answers = []
        for name, beside in ((left, right), (right, left)):
            if has_tools:
                answer = content.converse(name, beside, row, known, executor, temperature, args)
            else:
                answer = content.answer(name, beside, row, kind, script, temperature, args)
            answers.append(content.answer_or_line(answer))
        latest = [("", ""), ("", "")]
        for parts in itertools.zip_longest(*answers):  # None where one is finished before the other
            latest = [part or before for part, before in zip(parts, latest)]
            yield *latest[0], *latest[1]

    def results(name):
        """A table, and the pictures with its name; those without a table of their own stand beside README.md."""
        files = {path.stem.lower(): path for path in RESULTS.glob("*.md")}
        drawn = {path: path.stem.lower() for path in sorted(RESULTS.glob("*.png")) if path.stem != "demo"}
        chosen = [path for path, stem in drawn.items() if files.get(stem, RESULTS / "README.md").name == name]
        lines = (RESULTS / name).read_text().split("\n")  # without the link to the picture, which stands beside it
        return "\n".join(line for line in lines if line[:2] != "!["), "".join(map(content.picture, chosen))

    def watch(name, seen):
        """Curves and completions of a run, if its logs have grown; nothing else is drawn again."""
        import pandas

        names = content.run_names()
        if not names:
            return gr.Dropdown([]), "no run has written a log yet; start one, for instance: make run", *[None] * 5
        name = name if name in names else names[0]
        folder = content.run_folder(name)
        logs = [content.stamp(folder / log) for log in ("metrics.jsonl", "samples.jsonl")]
        state = [folder.name, names, logs]
        if state == seen:
            return [gr.skip()] * 7
        plots, last = [], 0
        for key, points in content.curves(folder).items():
            plots.append(pandas.DataFrame(points, columns=["step", content.CURVES[key]]))
            last = max([last, *(step for step, _ in points)])
        progress = "trains" if folder.suffix == ".partial" else "finished"
        line = f"{runs.shown(folder)}: {progress}, step {last}"
        return gr.Dropdown(names, value=name), line, *plots, content.samples(folder), state

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
        with gr.Tab("Results"):
            chosen = gr.Dropdown(sorted(path.name for path in RESULTS.glob("*.md")), label="Table of resources/")
            pictures = gr.HTML(elem_id="pictures")
            text = gr.Markdown(latex_delimiters=[], elem_id="results")
        with gr.Tab("Watch a run"):
            run, state = gr.Dropdown(label="Run"), gr.State()
            line = gr.Textbox(show_label=False, interactive=False, elem_id="run_line")
            with gr.Row():
                plots = [gr.LinePlot(x="step", y=title, title=title, height=260) for title in content.CURVES.values()]
            completions = gr.HTML(elem_id="samples")
        timer = gr.Timer(args.seconds)

        inputs = [question, truth, source, number, left, right, script, temperature]
        event = start.click(ask, inputs, [left_text, left_facts, right_text, right_facts])
        stop.click(None, cancels=[event])
        source.change(suit, [source, right], right)
        question.change(check, [question, truth, source, number], truth)
        gr.on([source.change, number.change], fill, [source, number], [question, truth])
        chosen.change(results, chosen, [text, pictures])
        outputs = [run, line, *plots, completions, state]
        gr.on([timer.tick, run.input], watch, [run, state], outputs, show_progress="hidden")
        blocks.load(opened, outputs=[left, right, source, script])
        blocks.load(fill, [source, number], [question, truth])
        blocks.load(results, chosen, [text, pictures])
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
    executor = ToolExecutor(args.tools)
    blocks = page(gr, args, executor)
    address = {"server_name": "127.0.0.1", "server_port": args.port, "share": False}
    try:
        blocks.launch(**address, ssr_mode=False, quiet=True, prevent_thread_lock=True, css=STYLE)
    except OSError:
        runs.fail(f"port {args.port} is in use, or not allowed; choose another one with --port")
    print(f"http://127.0.0.1:{args.port} (Ctrl-C ends it)", flush=True)
    blocks.block_thread()


if __name__ == "__main__":
    settings.run(main, Args, __doc__)
