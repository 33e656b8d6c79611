"""Where the text of SQL statements comes from, told from the syntax tree of a module.

A statement is sound if it is written out in the source, or composed by psycopg of pieces that are: then names and
values can only have got into it quoted. Types are taken on trust from annotations: the type checker vouches for them.
"""

import ast
from collections.abc import Iterator

_RUNNING = {"execute", "executemany", "fetch", "exec_driver_sql", "stream"}
"""Methods that run the statement that is their first argument, on whatever object."""

_CONSTRUCTS = {"select", "delete", "insert", "update"}
"""SQLAlchemy's, if they are imported from it."""

_COMPOSING = {"SQL", "Identifier", "Literal", "Placeholder", "Composed"}
_COMPOSABLE = _COMPOSING | {"Composable"}

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Assignment = ast.Assign | ast.AnnAssign | ast.AugAssign

_Pieces = list[ast.expr] | None
"""What must be sound for something to be; None where it never is."""


class Module:
    """A module, and the statements in it."""

    def __init__(self, source: str) -> None:
        self._tree = ast.parse(source)
        self._parents = {child: node for node in ast.walk(self._tree) for child in ast.iter_child_nodes(node)}
        self._constructs = {
            alias.name
            for node in ast.walk(self._tree)
            if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"
            for alias in node.names
            if alias.name in _CONSTRUCTS and not alias.asname
        }
        self._functions = {node.name: node for node in ast.walk(self._tree) if isinstance(node, _Function)}

    def unsound(self) -> Iterator[tuple[int, str]]:
        """The line and the text of every expression that is SQL and is made of something else than literals."""
        for call in ast.walk(self._tree):
            match call:
                case ast.Call(func=func, args=[argument, *_]) if _name(func) == "SQL" or ast.unparse(func) == "text":
                    sound = self._is_literal(argument)
                case ast.Call(func=ast.Attribute(attr=name), args=[argument, *_]) if name in _RUNNING:
                    sound = self._is_literal(argument) or self._is_composed(argument) or self._is_passed_on(argument)
                case _:
                    continue
            if not sound:
                yield argument.lineno, ast.unparse(argument)

    def _is_literal(self, node: ast.expr) -> bool:
        """Whether a text is wholly written in the source, or in a file beside it."""
        pieces: _Pieces = None
        match node:
            case ast.Constant(value=str()):
                pieces = []
            case ast.JoinedStr(values=parts):
                pieces = parts
            case ast.FormattedValue(value=value):
                pieces = [value]
            case ast.BinOp(left=left, op=ast.Add(), right=right) | ast.IfExp(body=left, orelse=right):
                pieces = [left, right]
            case ast.Name():
                pieces = self._values(node)
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                returned = [each.value for each in ast.walk(self._functions[name]) if isinstance(each, ast.Return)]
                pieces = [value or ast.Constant(None) for value in returned]
            case ast.Call(func=ast.Attribute(value=path, attr="read_text")):
                pieces = [] if ast.unparse(path) == "Path(__file__).with_suffix('.sql')" else None
        return pieces is not None and all(map(self._is_literal, pieces))

    def _is_composed(self, node: ast.expr) -> bool:
        """Whether psycopg or SQLAlchemy composed it, or SQLAlchemy compiled it from a declaration."""
        pieces: _Pieces = None
        match node:
            case ast.Call(func=func) if _name(func) in _COMPOSING or ast.unparse(func) == "ddl":
                pieces = []
            case ast.Call(func=ast.Name(id=name)) if name in self._constructs:
                pieces = []  # SQLAlchemy binds every value, and quotes every name
            case ast.Call(func=ast.Attribute(value=value, attr="where" | "distinct")):
                pieces = [value]
            case ast.Call(func=ast.Attribute(value=value, attr="format" | "join" | "as_string")):
                pieces = [value]
            case ast.Call(func=ast.Name(id="str"), args=[ast.Call(func=ast.Attribute(attr="compile"), keywords=given)]):
                pieces = [] if any(keyword.arg == "dialect" for keyword in given) else None
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                pieces = [] if _types(self._functions[name].returns) <= _COMPOSABLE else None
            case ast.BinOp(left=left, op=ast.Add(), right=right) | ast.IfExp(body=left, orelse=right):
                pieces = [left, right]
            case ast.Name() if annotations := self._annotations(node):
                pieces = [] if annotations <= _COMPOSABLE else None
            case ast.Name():
                pieces = self._values(node)
        return pieces is not None and all(map(self._is_composed, pieces))

    def _is_passed_on(self, node: ast.expr) -> bool:
        """Whether it is what a method that runs statements was given; then it was looked at where that was called."""
        match node:
            case ast.Starred(value=ast.Name(id=name)):
                function = self._function(node)
                if not isinstance(function, _Function) or function.args.vararg is None:
                    return False
                return function.name in _RUNNING and function.args.vararg.arg == name
            case ast.Name():
                function = self._function(node)
                runs = isinstance(function, _Function) and function.name in _RUNNING
                return runs and set() < self._annotations(node) <= _COMPOSABLE | {"str"}
            case ast.Call(func=ast.Name(id=name), args=[given]) if name in self._functions:
                return self._is_passed_on(given)
        return False

    def _function(self, node: ast.AST) -> _Function | ast.Module:
        """The function that a node is in, or else the module."""
        while not isinstance(node, _Function | ast.Module):
            node = self._parents[node]
        return node

    def _annotations(self, name: ast.Name) -> set[str]:
        """The types that a parameter may have; none if it is not a parameter."""
        function = self._function(name)
        if not isinstance(function, _Function):
            return set()
        given = function.args
        parameters = {each.arg: each.annotation for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
        return _types(parameters[name.id]) if name.id in parameters else set()

    def _values(self, name: ast.Name) -> _Pieces:
        """Whatever is assigned to a name, in the function that uses it or else in the module."""
        for scope in (self._function(name), self._tree):
            bound = [
                node
                for node in ast.walk(scope)
                if isinstance(node, ast.Name) and node.id == name.id and isinstance(node.ctx, ast.Store)
            ]
            if bound:
                return [self._assigned(target) for target in bound]
        return None

    def _assigned(self, target: ast.Name) -> ast.expr:
        """What a name is bound to; where that is by a loop, or in some other way, nothing that could be sound."""
        match self._parents[target]:
            case ast.Assign(value=value) | ast.AugAssign(op=ast.Add(), value=value):
                mentioned = {each.id for each in ast.walk(value) if isinstance(each, ast.Name)}
                return ast.Constant(None) if target.id in mentioned else value
            case ast.AnnAssign(annotation=annotation) if _types(annotation) <= _COMPOSABLE:
                return ast.Call(ast.Name("SQL"), [], [])
            case ast.AnnAssign(value=ast.expr() as value):
                return value
        return ast.Constant(None)


def _name(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)


def _types(annotation: ast.expr | None) -> set[str]:
    """The names of the types of a union, without the modules that they are of."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _types(left) | _types(right)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return {name}
    return {"something else"}
