"""cloud_commands.py FILE... - checks commands of clouds and containers in documents without running
them: `aws` against the models of botocore, `docker-compose`, and `kubectl` if it is installed, against
their own --help.

Commands are in blocks of indented code and in code within lines. A block with one of them has the
mark <!-- parsed --> on the line before it, which says that no test runs it. Prints each mistake, and
at the end the number of commands of each program. Status 1: a mistake; 3: botocore is missing.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys

try:
    import botocore.session
    from botocore import xform_name
    from botocore.validate import ParamValidator
except ImportError:
    sys.exit(3)

PROGRAMS = ("aws", "kubectl", "docker-compose", "docker", "podman")
GLOBAL_FLAGS = {"--region", "--query", "--output", "--profile", "--endpoint-url", "--no-cli-pager", "--cli-binary-format"}
# Commands that the CLI adds to the operations of the models, with their flags.
CUSTOM = {
    ("s3", "mb"): set(),
    ("s3", "ls"): {"--recursive", "--human-readable", "--summarize"},
    ("s3", "cp"): {"--recursive", "--exclude", "--include", "--sse", "--storage-class", "--only-show-errors"},
    ("s3", "sync"): {"--delete", "--exclude", "--include"},
    ("cloudformation", "deploy"): {"--template-file", "--stack-name", "--parameter-overrides", "--capabilities", "--s3-bucket", "--no-fail-on-empty-changeset", "--tags"},
    ("cloudformation", "package"): {"--template-file", "--s3-bucket", "--output-template-file"},
}
BEGIN = re.compile(r"(?:^|[|;&(\n`]|\$\()\s*(%s)(?=\s)" % "|".join(PROGRAMS))
session = botocore.session.get_session()


def words_from(text, start):
    """The words of the command at `start`, up to its end."""
    lexer = shlex.shlex(text[start:].replace("\\\n", " "), posix=True, punctuation_chars=";|&()<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words = []
    for word in lexer:
        if word and all(c in ";|&()<>\n" for c in word):
            break
        words.append(word)
    return words


def flags_and_values(words):
    flags, name = {}, None
    for word in words:
        if word.startswith("--"):
            name, _, value = word.partition("=")
            flags[name] = [value] if value else []
        elif name is not None:
            flags[name].append(word)
    return flags


def value_of(shape, texts):
    """The value as the CLI reads it, or None for what is not compared: placeholders and shorthand."""
    text = " ".join(texts)
    if shape.type_name in ("structure", "list", "map"):
        if text[:1] in ("{", "["):
            return json.loads(text)
        return texts if shape.type_name == "list" and shape.member.type_name == "string" and "=" not in text else None
    if shape.type_name in ("integer", "long"):
        return int(text) if text.lstrip("-").isdigit() else None
    if shape.enum and text not in shape.enum and not text.startswith("$"):
        raise ValueError(f"{text} is not one of {', '.join(shape.enum)}")
    return None


def check_aws(words):
    if len(words) < 3:
        return "aws needs a service and an operation"
    service, operation, flags = words[1], words[2], flags_and_values(words[3:])
    if (service, operation) in CUSTOM:
        unknown = set(flags) - CUSTOM[service, operation] - GLOBAL_FLAGS
        return f"unknown flags {', '.join(sorted(unknown))}" if unknown else None
    try:
        model = session.get_service_model(service)
    except botocore.exceptions.UnknownServiceError:
        return f"unknown service {service}"
    known = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in known:
        return f"{service} has no operation {operation}"
    shape = model.operation_model(known[operation]).input_shape
    members = {"--" + xform_name(name, "-"): name for name in (shape.members if shape else {})}
    for flag, texts in flags.items():
        if flag in GLOBAL_FLAGS:
            continue
        if flag not in members:
            return f"{service} {operation} has no parameter {flag}"
        member = shape.members[members[flag]]
        try:
            value = value_of(member, texts)
        except ValueError as error:
            return f"{flag}: {error}"
        errors = ParamValidator().validate(value, member) if value is not None else None
        if errors is not None and errors.has_errors():
            return f"{flag}: {errors.generate_report()}"
    missing = [name for name in (shape.required_members if shape else []) if "--" + xform_name(name, "-") not in flags]
    return f"{service} {operation} needs {', '.join(missing)}" if missing else None


def check_by_help(words):
    if shutil.which(words[0]) is None:
        return None if words[0] in ("docker", "podman", "kubectl") else f"no program {words[0]}"
    rest = [word for word in words[1:] if not word.startswith("-")]
    if not rest:
        return "no command"
    text = subprocess.run([words[0], rest[0], "--help"], capture_output=True, text=True, check=False)
    if text.returncode != 0:
        return f"{words[0]} has no command {rest[0]}"
    for word in words[1:]:
        flag = word.partition("=")[0]
        if flag.startswith("-") and not re.search(r"(^|[\s,])%s\b" % re.escape(flag), text.stdout):
            return f"{words[0]} {rest[0]} has no flag {flag}"
    return None


def pieces_of(path):
    """(line, text, is it marked or within a line) of each block and each piece of code in a line."""
    block, begun, marked, before = [], 0, False, ""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n") + [""]
    for number, line in enumerate(lines, 1):
        if line.startswith("    ") and (block or not before.strip() or before.lstrip().startswith("<!--")):
            if not block:
                begun, marked = number, before.strip() == "<!-- parsed -->"
            block.append(line.strip())
        else:
            if block:
                yield begun, "\n".join(block), marked
            block = []
            for code in re.findall(r"`([^`]+)`", line):
                yield number, code, True
        before = line


def main(paths):
    counts, wrong = dict.fromkeys(PROGRAMS, 0), False
    for path in paths:
        for number, text, marked in pieces_of(path):
            for found in BEGIN.finditer(text):
                program = found.group(1)
                words = words_from(text, found.start(1))
                if len(words) < 2:
                    continue
                counts[program] += 1
                mistake = "is neither run nor marked with <!-- parsed -->" if not marked else None
                mistake = mistake or (check_aws(words) if program == "aws" else check_by_help(words))
                if mistake:
                    wrong = True
                    print(f"{path}:{number}: {' '.join(words)[:80]}: {mistake}")
    print(", ".join(f"{count} {program}" for program, count in counts.items() if count))
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
