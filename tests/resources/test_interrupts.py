"""A signal ends a query of real processes at once, wherever it is under way, and the store is whole afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brain_assets.app.declaring import declare
from brain_assets.resources.settings.home import Home
from brain_assets.resources.store.publishing import TableQuery, publish
from brain_assets.resources.store.store import Store

# Python alone notes a signal only when these have ended, after hours.
SLOW = "select count(*) from range(9000000) a, range(9000000) b where hash(a.range, b.range) = 1"
QUERY = """
import signal, sys
from pathlib import Path
from brain_assets.resources.store.store import Store
signal.signal(signal.SIGTERM, signal.default_int_handler)
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
try:
    with store.write("run", "test") as transaction:
        transaction.execute("insert into facts values ('half', '1', 0)")
        {how}
except KeyboardInterrupt:
    print("interrupted", store.value("select count(*) from facts where name = 'half'"), flush=True)
store.close()
"""
WAYS = {
    "query": f'store.query("{SLOW}")',
    "rows": f'store.rows("{SLOW}")',
    "statement": f'transaction.execute("{SLOW}")',
}


def test_what_is_attended_minds_interrupts_though_its_parent_ignores_them(tmp_path: Path) -> None:
    told = "import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n"
    (tmp_path / "telling.py").write_text(told)

    # A shell ignores it: a fork of this process would take along whatever other tests have loaded here.
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    command = [*ignoring, sys.executable, "-m", "brain_assets.app.attended", "telling"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("how", "number"), [("query", signal.SIGINT), ("rows", signal.SIGTERM), ("statement", signal.SIGTERM)]
)
def test_a_signal_ends_a_query_and_undoes_its_transaction(tmp_path: Path, how: str, number: signal.Signals) -> None:
    path = tmp_path / "store.duckdb"
    script = QUERY.replace("{how}", WAYS[how])
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)
        process.send_signal(number)
        told, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert told == "interrupted 0\n"
    assert process.returncode == 0
    Store(path).close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_brain_sql_with_the_line_of_every_interrupt(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "one.png").touch()
    home = Home(tmp_path / "home")
    paths = declare(home, "flowers", media=str(tmp_path / "media"))
    store = Store(paths.store)
    publish(store, paths.published, [TableQuery("facts", "select name from facts")], {})
    store.close()
    command = [sys.executable, "-m", "brain_assets.app.cli", "--home", str(home.root), "sql", "flowers", SLOW]
    process = subprocess.Popen([*command, "--format", "csv"], stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(4)
        assert process.poll() is None
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted; what was done is kept" in said
