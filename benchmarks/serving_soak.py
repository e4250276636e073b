"""Ten minutes at an endpoint while versions are pushed; `benchmarks/serving.py --soak` runs it."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving_parts import bare_call, endpoint, grpc_client, make_model, resident_mib, rest_client, status


def soak(model: Path, folder: Path, shape: tuple[int, int, int], minutes: float, swaps: int) -> None:
    """Prints what happened to requests while versions were pushed."""
    other = folder / "other"
    make_model(other, shape, seed=1)
    sources = [model, other]
    whole = {tuple(bare_call(source)(4, 0)) for source in sources}
    base = folder / "served"
    shutil.copytree(sources[0], base / "1")
    failed: list[str] = []
    counts = {"answers": 0, "foreign": 0}
    lock = threading.Lock()
    end = time.monotonic() + 60 * minutes
    with endpoint(base, "--enable_batching") as (rest, grpc_address, pid):

        def work(make: Callable, address: str) -> None:
            ask = make(address)
            while time.monotonic() < end:
                try:
                    images = tuple(ask(4, 0))
                except Exception as error:
                    with lock:
                        failed.append(str(error))
                    ask = make(address)
                    continue
                with lock:
                    counts["answers"] += 1
                    counts["foreign"] += images not in whole

        workers = [
            threading.Thread(target=work, args=pair)
            for pair in ((rest_client, rest), (grpc_client, grpc_address))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        time.sleep(5)
        memory = [resident_mib(pid)]
        for swap in range(swaps):
            push_slowly(sources[(swap + 1) % 2], base / str(swap + 2))
            time.sleep(max(0.0, (end - time.monotonic() - 5) / (swaps - swap)))
            memory.append(resident_mib(pid))
        for worker in workers:
            worker.join()
        served = json.loads(status(rest)[1])["model_version_status"][0]
    print("| minutes | swaps | answers | failed | of no whole version | newest version | MiB after each swap |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {minutes:g} | {swaps} | {counts['answers']} | {len(failed)} | {counts['foreign']} "
        f"| {served['version']} {served['state']} | {', '.join(f'{mib:.0f}' for mib in memory)} |"
    )
    for fault in sorted(set(failed))[:5]:
        print(fault)


def push_slowly(source: Path, target: Path) -> None:
    """Copies a version file by file, `saved_model.pb` first, as a careless copy does."""
    files = sorted(
        (path for path in source.rglob("*") if path.is_file()), key=lambda path: path.name != "saved_model.pb"
    )
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        time.sleep(0.3)
