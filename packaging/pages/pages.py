#!/usr/bin/python3
"""pages.py DIRECTORY PROGRAM... - writes the man pages and the completions of a package.

    firekeep.1, firekeep.yml.5     from `help` of the program, and docs/configuration.md
    firekeep.bash, firekeep.zsh, firekeep.fish

PROGRAM... are the words that run the program. The date of the man pages is that of SOURCE_DATE_EPOCH; lowdown turns Markdown into roff.
"""

import datetime
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAG = re.compile(r"  (?:-(?P<letter>\w), )?--(?P<no>\[no-\])?(?P<name>[\w.-]+)(?:=(?P<value>.+))?$")
CHOICES = re.compile(r"((?:[\w-]+, )*[\w-]+ or [\w-]+)(?: \(default|$|;)")
PATHS = {"FILE": "file", "DIRECTORY": "directory", "DIR": "directory", "DIR|URL": "directory"}


class Flag:
    def __init__(self, match, text):
        self.name, self.value, self.text = match["name"], match["value"], text
        self.names = [f"--{self.name}"] + ([f"--no-{self.name}"] if match["no"] else [])
        self.letter = match["letter"]

    def choices(self):
        """The words that its value can be, if they are known."""
        if self.value and re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", self.value):
            return self.value.split("|")
        match = self.value and self.value not in PATHS and CHOICES.match(self.text)
        return re.split(", | or ", match[1]) if match else []

    def takes(self):
        return PATHS.get(self.value)


class Command:
    """What `help NAME` prints: usage, sentence, flags, and notes in paragraphs that keep their lines."""

    def __init__(self, program, name):
        lines = run(*program, "help", name).splitlines()
        self.name, self.usage = name, lines[0].removeprefix("usage: ")
        self.sentence, self.flags, self.notes = lines[2], [], []
        i = 4
        while i < len(lines):
            match = FLAG.fullmatch(lines[i])
            if match and i + 1 < len(lines) and lines[i + 1].startswith("        "):
                self.flags.append(Flag(match, lines[i + 1].strip()))
                self.notes.append(self.flags[-1])
                i += 2
            else:
                self.notes.append(lines[i])
                i += 1

    def words(self):
        """The words that the command can begin with: list|show of `dead-letters list|show [flags]`."""
        words = []
        for usage in self.usage.removeprefix(f"firekeep {self.name}").split(" | "):
            word = usage.split()[0] if usage.split() else ""
            if re.fullmatch(r"[a-z]+(\|[a-z]+)*", word):
                words += word.split("|")
        return words


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def commands_of(program):
    names = re.findall(r"^  ([a-z-]+)  ", run(*program, "help"), re.MULTILINE)
    return [Command(program, name) for name in names if name != "help"]


# --- man pages -----------------------------------------------------------------------------------


def escaped(text):
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text)


def as_page(markdown, title, section, path):
    date = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    facts = {"title": title, "section": section, "date": f"{date:%Y-%m-%d}", "source": "Firekeep", "volume": ""}
    words = [word for key, value in facts.items() for word in ("-M", f"{key}={value}")]
    page = subprocess.run(["lowdown", "-s", "-tman", "--parse-no-metadata", "--out-no-smarty", *words], input=markdown,
                          check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
    with open(path, "w", encoding="utf-8") as file:
        file.write(page)


def flag_item(flag):
    head = ", ".join(([f"-{flag.letter}"] if flag.letter else []) + flag.names)
    return f"**{escaped(head)}**{'=' + escaped(flag.value) if flag.value else ''}\n\n:   {escaped(flag.text)}\n\n"


def command_section(command):
    text = f"## {command.name}\n\n**{escaped(command.usage)}**\n\n{escaped(command.sentence)}\n\n"
    verbatim = []
    for item in command.notes + [""]:
        if isinstance(item, str) and (item or verbatim):
            verbatim.append(item)
            continue
        text += block_of(verbatim)
        verbatim = []
        text += flag_item(item) if isinstance(item, Flag) else ""
    return text + block_of(verbatim)


def block_of(lines):
    """Notes keep their lines: lists and tables in them are laid out by hand."""
    while lines and not lines[-1]:
        lines.pop()
    return "```\n" + "\n".join(lines) + "\n```\n\n" if lines else ""


def write_program_page(commands, path):
    text = "# NAME\n\nfirekeep - long-term storage for Prometheus\n\n# SYNOPSIS\n\n"
    text += "**firekeep** *COMMAND* \\[*flags*\\]\n\n# DESCRIPTION\n\n"
    text += "Firekeep receives the samples of Prometheus by remote write, stores them, passes them on to other systems, "
    text += "and answers queries. **firekeep serve** runs the server; the other commands work with a server, or with "
    text += "the storage directory of a stopped one.\n\n# COMMANDS\n\n"
    text += "".join(command_section(command) for command in commands)
    text += "# FILES\n\n**/etc/firekeep/firekeep.yml**\n\n:   configuration, see **firekeep.yml**(5)\n\n"
    text += "**/etc/default/firekeep**\n\n:   FIREKEEP\\_ARGS, flags of the service\n\n"
    text += "**/var/lib/firekeep**\n\n:   storage directory of the service\n\n"
    text += "# SEE ALSO\n\n**firekeep.yml**(5), and the documents in /usr/share/doc/firekeep/docs\n"
    as_page(text, "FIREKEEP", "1", path)


def write_configuration_page(path):
    with open(os.path.join(ROOT, "docs", "configuration.md"), encoding="utf-8") as file:
        text = file.read()
    title, _, text = re.sub(r"<!--.*-->\n", "", text).partition("\n")
    assert title == "# Configuration"
    text = re.sub(r"\(\[[^]]*\]\(([^#)]+)[^)]*\)\)", r"(see \1)", text)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^#(#+)", r"\1", text, flags=re.MULTILINE)
    head = "# NAME\n\nfirekeep.yml - configuration of firekeep\n\n# DESCRIPTION\n"
    as_page(head + text + "\n# SEE ALSO\n\n**firekeep**(1), and the documents in /usr/share/doc/firekeep/docs\n", "FIREKEEP.YML", "5", path)


# --- completions ---------------------------------------------------------------------------------


def write_bash(commands, path):
    text = "# Completion of firekeep for bash.\n\n_firekeep()\n{\n    local cur prev words cword split command\n"
    text += "    _init_completion -s -n : || return\n    command=${words[1]-}\n    if ((cword == 1)); then\n"
    text += f"        COMPREPLY=($(compgen -W '{' '.join(c.name for c in commands)} help' -- \"$cur\"))\n        return\n    fi\n"
    text += "    case $command$prev in\n"
    for command in commands:
        for flag in command.flags:
            if flag.value:
                action = f"$(compgen -W '{' '.join(flag.choices())}' -- \"$cur\")" if flag.choices() else ""
                action = {"file": "_filedir", "directory": "_filedir -d"}.get(flag.takes(), f"COMPREPLY=({action})")
                text += f"        {command.name}--{flag.name}) {action}; return ;;\n"
    text += "    esac\n    $split && return\n    case $command in\n"
    for command in commands:
        flags = " ".join(name + ("=" if flag.value else "") for flag in command.flags for name in flag.names)
        text += f"        {command.name})\n            if [[ $cur == -* ]]; then\n"
        text += f"                COMPREPLY=($(compgen -W '{flags} --help' -- \"$cur\"))\n"
        text += "                [[ ${COMPREPLY-} == *= ]] && compopt -o nospace\n"
        if command.words():
            text += f"            elif ((cword == 2)); then\n                COMPREPLY=($(compgen -W '{' '.join(command.words())}' -- \"$cur\"))\n"
            if command.name == "check":
                text += "                _filedir\n"
        text += "            else\n                _filedir\n            fi\n            ;;\n"
    text += f"        help) COMPREPLY=($(compgen -W '{' '.join(c.name for c in commands)}' -- \"$cur\")) ;;\n"
    text += "    esac\n} && complete -F _firekeep firekeep\n"
    put(path, text)


def zsh_quoted(text):
    return re.sub(r"([\\\[\]:'])", lambda m: "'\\''" if m[1] == "'" else "\\" + m[1], text)


def write_zsh(commands, path):
    text = "#compdef firekeep\n# Completion of firekeep for zsh.\n\nlocal -a commands\ncommands=(\n"
    for command in commands:
        text += f"    '{command.name}:{zsh_quoted(command.sentence)}'\n"
    text += "    'help:show the help of a command'\n)\nif ((CURRENT == 2)); then\n    _describe command commands\n    return\nfi\n"
    text += "case $words[2] in\n"
    for command in commands:
        text += f"    {command.name})\n        _arguments -S"
        for flag in command.flags:
            for name in flag.names:
                action = f"({' '.join(flag.choices())})" if flag.choices() else {"file": "_files", "directory": "_files -/"}.get(flag.takes(), " ")
                value = f":{zsh_quoted(flag.value)}:{action}" if flag.value and not name.startswith("--no-") else ""
                text += f" \\\n            '{name}{'=' if value else ''}[{zsh_quoted(flag.text)}]{value}'"
        words = f" \\\n            '2:what:({' '.join(command.words())})'" if command.words() and command.name != "check" else ""
        text += words + " \\\n            '*:file:_files'\n        ;;\n"
    text += "    help) _describe command commands ;;\nesac\n"
    put(path, text)


def write_fish(commands, path):
    quoted = lambda t: t.replace("\\", "\\\\").replace("'", "\\'")  # noqa: E731
    text = "# Completion of firekeep for fish.\n\n"
    for command in commands:
        text += f"complete -c firekeep -n __fish_use_subcommand -f -a {command.name} -d '{quoted(command.sentence)}'\n"
    text += "complete -c firekeep -n __fish_use_subcommand -f -a help -d 'show the help of a command'\n"
    text += f"complete -c firekeep -n '__fish_seen_subcommand_from help' -f -a '{' '.join(c.name for c in commands)}'\n"
    for command in commands:
        seen = f"complete -c firekeep -n '__fish_seen_subcommand_from {command.name}'"
        if command.words():
            text += f"{seen} -a '{' '.join(command.words())}'\n"
        for flag in command.flags:
            for name in flag.names:
                value = "" if not flag.value or name.startswith("--no-") else " -r"
                if value and flag.choices():
                    value = f" -x -a '{' '.join(flag.choices())}'"
                elif value and flag.takes() == "directory":
                    value = " -x -a '(__fish_complete_directories)'"
                text += f"{seen} -l {name[2:]}{value} -d '{quoted(flag.text)}'\n"
    put(path, text)


def put(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    folder, program = sys.argv[1], sys.argv[2:]
    os.makedirs(folder, exist_ok=True)
    commands = commands_of(program)
    write_program_page(commands, os.path.join(folder, "firekeep.1"))
    write_configuration_page(os.path.join(folder, "firekeep.yml.5"))
    write_bash(commands, os.path.join(folder, "firekeep.bash"))
    write_zsh(commands, os.path.join(folder, "firekeep.zsh"))
    write_fish(commands, os.path.join(folder, "firekeep.fish"))


if __name__ == "__main__":
    main()
