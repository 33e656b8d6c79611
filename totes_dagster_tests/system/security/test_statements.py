"""No statement of the package is put together from anything but literals, and what psycopg has quoted.

Linters that look for such statements guess from what a string looks like. This follows the text to where it comes from.
"""

from pathlib import Path

import pytest

import totes_dagster
from totes_dagster_tests.system.security.made_of_literals import Module

PACKAGE = Path(totes_dagster.__file__).parent

MEANT = {
    # Definitions of others' views, which PostgreSQL itself writes out and which are run again.
    "warehouse/migrations/views.py": ["statement"],
    # The query of whoever runs `totes sql`, alone and read-only.
    "cli/sql.py": ["query.encode()"],
}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_statements_are_made_of_literals(path: Path) -> None:
    unsound = [text for _, text in Module(path.read_text()).unsound()]
    assert unsound == MEANT.get(str(path.relative_to(PACKAGE)), [])


SOUND = (
    "cursor.execute('select 1')",
    "cursor.execute(\n    'select 1 '\n    'where true')",
    "A = 'pay' + 'ment'\ncursor.execute(f'select from {A}')",
    "def run(name: str):\n    cursor.execute(sql.SQL('select from {}').format(sql.Identifier(name)))",
    "def run(name: str):\n    query = SQL('select ')\n    query += SQL('{}').format(name)\n    cursor.execute(query)",
    "def run(query: sql.Composed):\n    cursor.execute(query.as_string(None))",
    "def run(flag: bool):\n    cursor.execute(sql.SQL('a' if flag else 'b'))",
    "def kind(x): return 'int' if x else 'text'\nq = sql.SQL(kind(name))",
    "class T:\n    def execute(self, *arguments):\n        super().execute(*arguments)",
    "def run():\n    query: sql.Composed = made_elsewhere()\n    cursor.execute(query.as_string(None))",
    "class T:\n    def execute(self, query: str | sql.Composable):\n        cursor.execute(query)",
    "connection.execute('select %s', [name])",
    "op.get_bind().exec_driver_sql(Path(__file__).with_suffix('.sql').read_text())",
    "cursor.execute(str(statement.compile(dialect=D)))",
    "column = Column(server_default=text('now()'))",
    "from sqlalchemy import delete\nconnection.execute(delete(T).where(T.c.id.in_(ids)))",
)
UNSOUND = (
    "def run(*arguments):\n    cursor.execute(*arguments)",
    "def run():\n    query: str = made_elsewhere()\n    cursor.execute(query)",
    "cursor.execute(f'select from {name}')",
    "def run(name: str):\n    cursor.execute(f'select from {name}')",
    "def run(name: str):\n    cursor.execute('select from ' + name)",
    "def run(name: str):\n    cursor.execute('select from %s' % name)",
    "def run(name: str):\n    cursor.execute('select from {}'.format(name))",
    "def run(name: str):\n    cursor.execute(' '.join(['select from', name]))",
    "def run(name: str):\n    query = 'select from '\n    query += name\n    cursor.execute(query)",
    "def run(name: str):\n    query = 'select from '\n    query = query + name\n    cursor.execute(query)",
    "def run(names: list[str]):\n    for query in names:\n        cursor.execute(query)",
    "def run(name: str):\n    q = sql.SQL(f'select from {name}')",
    "def run(name: str):\n    q = sql.SQL('{}').join(sql.SQL(name))",
    "def run(query):\n    cursor.execute(query)",
    "def run(query: str | sql.Composable):\n    cursor.execute(query)",
    "def kind(x): return x\nq = sql.SQL(kind(name))",
    "cursor.execute(SETTINGS['query'])",
    "cursor.execute(Path('query.sql').read_text())",
    "column = Column(server_default=text(default))",
    "from elsewhere import delete\nconnection.execute(delete(name))",
    "def select(x): return x\nconnection.execute(select(name).where(True))",
)


@pytest.mark.parametrize("source", SOUND)
def test_what_is_written_out_or_quoted_is_sound(source: str) -> None:
    assert list(Module(source).unsound()) == []


@pytest.mark.parametrize("source", UNSOUND)
def test_what_is_put_together_otherwise_is_found(source: str) -> None:
    assert len(list(Module(source).unsound())) == 1
