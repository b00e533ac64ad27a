"""Holds commands of the AWS CLI, one JSON list of arguments a line, what is in files in place of file://NAME, against the models of the services in botocore, from
which the CLI is made: command, options and their values must be what it takes, and what --query looks for must be in the
answer. Prints what is not, and what the models here are too old to know."""

import json
import re
import sys

import botocore.loaders
import botocore.model
import botocore.validate
from botocore import xform_name

# Options of every command, with the number of their values.
GLOBAL = {"--query": 1, "--output": 1, "--region": 1, "--profile": 1, "--cli-binary-format": 1, "--no-cli-pager": 0}
# Where the CLI puts a file that its user gives as --zip-file.
FILES = {"CreateFunction": "Code", "PublishLayerVersion": "Content"}
# What models of 2022 do not have.
NEW = {"--invoked-via-function-url", "get-web-identity-token", "provided.al2023", "nodejs24.x"}

loader = botocore.loaders.Loader()


def option(member):
    return "--" + xform_name(member, "-")


def value(shape, words):
    """Makes of the words after an option what its shape wants."""
    if shape.type_name == "list":
        if len(words) == 1 and words[0][:1] == "[":
            return json.loads(words[0])
        return [value(shape.member, [w]) for w in words]
    if shape.type_name == "boolean":
        return True
    (word,) = words
    if word.startswith("file://"):
        fail("no file: " + word)
    if shape.type_name in ("structure", "map"):
        return json.loads(word) if word[:1] == "{" else shorthand(shape, word)
    if shape.type_name in ("integer", "long"):
        return int(word)
    if shape.type_name == "blob":
        return b"" if word.startswith(("fileb://", "{")) else fail("no file: " + word)
    enum = getattr(shape, "enum", None)
    return word if not enum or word in enum else fail(f"{word} is none of {enum}")


def shorthand(shape, word):
    """Knows Key=value,Key=value, and one map within."""
    inner = re.fullmatch(r"(\w+)=\{(.*)\}", word)
    if inner:
        return {inner[1]: shorthand(None, inner[2])}
    return dict(pair.split("=", 1) for pair in word.split(","))


def fail(text):
    raise ValueError(text)


def find(shape, expression):
    """Follows names and positions with dots between them; an expression of another kind is not looked at."""
    if not re.fullmatch(r"[\w.\[\]]+", expression):
        return
    for name in re.sub(r"\[\d*\]", ".[]", expression).split("."):
        if name == "[]":
            shape = shape.member
        elif name in getattr(shape, "members", {}):
            shape = shape.members[name]
        else:
            fail(f"there is no {name} in the answer")


def check(argv):
    service = argv[0]
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))
    rest = argv[1:]
    waits = rest[0] == "wait"
    if waits:
        waiters = loader.load_service_model(service, "waiters-2")["waiters"]
        names = {xform_name(w, "-"): d["operation"] for w, d in waiters.items()}
        rest = rest[1:]
    else:
        names = {xform_name(o, "-"): o for o in model.operation_names}
    if rest[0] not in names:
        fail("there is no " + rest[0])
    op = model.operation_model(names[rest[0]])
    members = dict(op.input_shape.members) if op.input_shape else {}
    known = {option(m): m for m in members}
    given, words, last = {}, None, None
    rest = rest[1:]
    outfile = op.name == "Invoke"  # its answer goes to a file, the one argument without an option
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if outfile:
                outfile = False
                continue
            fail("what is " + word)
        if word in GLOBAL:
            if word == "--query":
                find(op.output_shape, rest[0])
            del rest[:GLOBAL[word]]
            continue
        words = []
        while rest and not rest[0].startswith("--") and not (op.name == "Invoke" and len(words) == 1):
            words.append(rest.pop(0))
        if word == "--zip-file" and op.name in FILES:
            given.setdefault(FILES[op.name], {})["ZipFile"] = b""
        elif word in known:
            given[known[word]] = value(members[known[word]], words)
        else:
            fail("there is no option " + word)
    report = botocore.validate.ParamValidator().validate(given, op.input_shape)
    if report.has_errors():
        fail(report.generate_report())


checked = 0
for line in sys.stdin:
    argv = json.loads(line)
    try:
        check(argv)
        checked += 1
    except ValueError as e:
        old = NEW.intersection(argv)
        text = re.sub(r" is none of .*", " is not known", str(e).replace("\n", "; "))
        print("SKIP" if old else "WRONG", *argv[:3], text)
print("CHECKED", checked)
