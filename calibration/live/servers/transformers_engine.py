"""Continuous batching of transformers: a script for a Python that has transformers, with Headroom or without.

    python transformers_engine.py '{"port": 8123, "emulated": false, "num_blocks": 64, "max_batch_tokens": 256, ...}'

A tiny Llama computes, or an emulated device sleeps. POST / takes {"number": any, "prompt": tokens, "output": tokens}
and answers when the last token is there. POST /log gives back how many are not answered yet, and all requests that
ended and all steps since it was last asked: of a request its number, when it came, when its first step began, and when
each of its tokens was there; of a step when it began and ended, its processor time, how many it served that decode,
what these attend to, how many waited before it and were left after it, and the tokens of each chunk of a prompt with
those before them. Times are readings of CLOCK_MONOTONIC in nanoseconds, which all processes of a host share.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import Any

SHAPE = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 32}
"""Of the model, whose weights are random: what is timed does not depend on them."""
VOCABULARY = 2048
SETTINGS = (
    "num_blocks",
    "page_size",
    "max_batch_tokens",
    "max_requests_per_batch",
    "scheduler_type",
    "safety_margin",
    "allow_block_sharing",
)
"""Of the engine's own configuration."""
EMULATED = (8e-3, 4e-5, 1e-4)
"""Seconds that an emulated device sleeps: for a step, for each of its tokens, for each of its requests."""


class Engine:
    """The engine, and what its steps computed."""

    def __init__(self, asked: dict[str, Any], started: bool = True) -> None:
        torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
        torch.set_num_threads(1)
        torch.manual_seed(0)
        config = transformers.LlamaConfig(
            **SHAPE, vocab_size=VOCABULARY, max_position_embeddings=16384, num_key_value_heads=2, eos_token_id=None
        )
        config._attn_implementation = "sdpa"
        self.log: dict[str, list[list[Any]]] = {"requests": [], "steps": []}
        self.stamps: dict[str, list[int]] = {}
        """Of those that run: when the first step began, and when each token was there."""
        self.count = self.under_way = 0
        self.prompt = torch.randint(VOCABULARY, (16384,)).tolist()
        module = importlib.import_module("transformers.generation.continuous_batching.continuous_api")
        self._watch(module.ContinuousBatchProcessor)
        if asked["emulated"]:
            module.ModelRunner.compute_batch = _sleep
        model = transformers.LlamaForCausalLM(config).eval()
        batching = transformers.ContinuousBatchingConfig(**{name: asked[name] for name in SETTINGS if name in asked})
        generation = transformers.GenerationConfig(do_sample=False, eos_token_id=-1)
        with torch.inference_mode():
            self.manager = model.init_continuous_batching(generation, continuous_batching_config=batching)
            if started:
                self.manager.start()

    def _watch(self, processor: Any) -> None:
        """Every step writes down what it computed: from when it is planned until its tokens are known."""
        prepare, update = processor.prepare_next_batch, processor.update_batch
        began = [0, 0]

        def prepare_next_batch(this: Any) -> bool:
            now = time.monotonic_ns(), time.thread_time_ns()
            found: bool = prepare(this)
            if found:
                began[:] = now
            return found

        def update_batch(this: Any) -> None:
            decodes, context, chunks, given = 0, 0, list[tuple[int, int]](), list[list[int]]()
            for one in this.inputs_and_outputs.requests_in_batch:
                state = one.state
                if state.generated_tokens:
                    decodes, context = decodes + 1, context + state.position_offset
                else:
                    chunks.append((one.query_length, state.position_offset - one.query_length))
                stamps = self.stamps.setdefault(state.request_id, [began[0]])
                if one.has_new_token:
                    given.append(stamps)
            scheduler = this.scheduler
            waiting = len(scheduler.waiting_requests)
            update(this)
            cpu, end = time.thread_time_ns() - began[1], time.monotonic_ns()
            for stamps in given:
                stamps.append(end)
            left = len(scheduler.active_requests) + len(scheduler.waiting_requests)
            self.log["steps"].append([began[0], end, cpu, decodes, context, waiting, left, chunks])

        processor.prepare_next_batch, processor.update_batch = prepare_next_batch, update_batch

    def tokens(self, prompt: int) -> list[int]:
        """A prompt of so many tokens; no two begin alike."""
        self.count += 1
        return [self.count // VOCABULARY % VOCABULARY, self.count % VOCABULARY, *self.prompt[2:prompt]][:prompt]

    async def serve(self, number: int, prompt: int, output: int) -> str:
        """One request, to its last token; no two prompts begin alike. Gives back what went wrong."""
        came, tokens = time.monotonic_ns(), self.tokens(prompt)
        name = str(self.count)
        self.under_way += 1
        done = asyncio.get_running_loop().create_future()
        self.manager.register_result_handler(name, done.set_result)
        self.manager.add_request(tokens, request_id=name, max_new_tokens=output)
        found = await done
        self.under_way -= 1
        # The last of these stamps may still be to come.
        self.log["requests"].append([number, came, self.stamps.pop(name, [])])
        return str(found.error or "")

    async def answer(self, path: str, body: bytes) -> tuple[str, str]:
        """The status and the text that a request gets back."""
        if path == "/log":
            found = json.dumps({"under_way": self.under_way, **self.log})
            for rows in self.log.values():
                rows.clear()
            return "200 OK", found
        wrong = await self.serve(**json.loads(body))
        return ("500 Error", wrong) if wrong else ("200 OK", "{}")


def _sleep(runner: Any, _model: Any, batch: dict[str, Any]) -> None:
    """What an emulated device does in the place of the model: all tokens are the same."""
    tokens, requests = batch["input_ids"].shape[-1], batch["cu_seq_lens_q"].shape[-1] - 1
    step, token, request = EMULATED
    time.sleep(step + token * tokens + request * requests)
    runner.inputs_and_outputs.output_ids.fill_(1)


async def listen(engine: Engine, port: int) -> None:
    """Answers for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            first, *rest = head.decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in rest if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            status, text = await engine.answer(first.split()[1], body)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text.encode())}\r\n\r\n{text}".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Of the next request on a connection; nothing where it was closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def main() -> None:
    """Starts the engine, and listens."""
    asked = json.loads(sys.argv[1])
    asyncio.run(listen(Engine(asked), asked["port"]))


if __name__ == "__main__":
    main()
