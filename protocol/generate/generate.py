"""Makes messages.h and messages.c out of the notation: generate.py SCHEMA_FOLDER OUTPUT_FOLDER DEPFILE.

messages.h has a C struct for every message, the enums of API keys and record types; messages.c has the tables that
protocol/schema.h describes. Both are written by meson into the build folder and never committed.
"""

import pathlib
import sys

import notation

C_WORDS = {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
           "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static",
           "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "bool", "true", "false"}

C_TYPES = {
    "bool": "bool", "int8": "int8_t", "int16": "int16_t", "uint16": "uint16_t", "int32": "int32_t", "uint32": "uint32_t",
    "int64": "int64_t", "float64": "double", "uuid": "struct uuid", "string": "struct str", "bytes": "struct bytes",
    "records": "struct records",
}

# Bytes on the wire of the shortest value: (plain, compact).
MIN_SIZES = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16,
             "string": 2, "bytes": 4, "records": 4}

HEAD = "/* Made by protocol/generate/generate.py from protocol/schema/. Change those, not this. */\n"


def c_name(struct):
    """produce_request for a message, produce_request_topic_produce_data for a struct in it."""
    outer = notation.snake(struct.message.name)
    if struct is struct.message:
        return outer
    inner = notation.snake(struct.name)
    return inner if inner.startswith(outer + "_") else f"{outer}_{inner}"


def c_member(field):
    return field.member + "_" if field.member in C_WORDS else field.member


def is_pointer(field):
    return field.is_struct and not field.array and bool(field.nullable)


def has_tags(struct):
    return struct.message.flexible is not None


def struct_declaration(struct):
    lines = [f"struct {c_name(struct)} {{"]
    for field in struct.fields:
        base = f"struct {c_name(field.struct)}" if field.is_struct else C_TYPES[field.type]
        member = c_member(field)
        if field.array:
            lines.append(f"\t{base} *{member};")
            lines.append(f"\tint32_t {member}_count;")
        elif is_pointer(field):
            lines.append(f"\t{base} *{member};")
        else:
            lines.append(f"\t{base} {member};")
    if has_tags(struct):
        lines.append("\tstruct tagged_fields unknown_tags;")
    elif not struct.fields:
        raise notation.NotationError(f"{struct.name} would be an empty C struct")
    lines.append("};")
    return "\n".join(lines)


def all_structs(schema):
    """Innermost first, so that each stands behind what it holds."""
    for message in schema.messages.values():
        done = []

        def visit(struct):
            for field in struct.fields:
                if field.is_struct and field.struct not in done:
                    visit(field.struct)
            done.append(struct)

        visit(message)
        unused = [struct.name for struct in message.structs if struct not in done]
        if unused:
            raise notation.NotationError(f"{message.name}: unused {unused}")
        yield from done


def upper(name):
    return notation.snake(name).upper()


def record_enumerator(record, name):
    name = name[:-6] if name.endswith("Record") else name
    return f"{record.log.upper()}_{upper(name)}"


def header(schema):
    out = [HEAD, "#pragma once\n", '#include "protocol/schema.h"\n']
    out.append("enum api_key {")
    out += [f"\tAPI_{upper(api.name)} = {api.key}," for api in schema.apis.values()]
    out.append("};\n")
    out.append(f"#define API_COUNT {len(schema.apis)}\n")
    out.append("extern const struct api_row api_table[API_COUNT];\n")
    logs = sorted({record.log for record in schema.records})
    out.append("/* The logs that brokers keep, by the kinds of records in them. */")
    out.append("enum record_log {")
    out += [f"\tRECORD_LOG_{log.upper()}," for log in logs]
    out.append("};\n")
    for log in logs:
        out.append(f"enum {log}_record {{")
        for record in schema.records:
            if record.log == log:
                out += [f"\t{record_enumerator(record, name)} = {kind}," for kind, name in record.types]
        out.append("};\n")
    out.append(f"#define RECORD_COUNT {sum(len(record.types) for record in schema.records)}\n")
    out.append("extern const struct record_row record_table[RECORD_COUNT];\n")
    out.append(f"#define SCHEMA_MESSAGE_COUNT {len(schema.messages)}\n")
    out.append("/* Every message there is, in order of their names' files. */")
    out.append("extern const struct schema_struct *const schema_messages[SCHEMA_MESSAGE_COUNT];\n")
    names = set()
    for struct in all_structs(schema):
        if c_name(struct) in names:
            raise notation.NotationError(f"two structs would be called {c_name(struct)}")
        names.add(c_name(struct))
        out.append(struct_declaration(struct) + "\n")
    for struct in all_structs(schema):
        out.append(f"extern const struct schema_struct {c_name(struct)}_schema;")
    return "\n".join(out) + "\n"


def default_initializer(struct):
    """The members that are not zero by default, as C text; empty when all are."""
    parts = []
    for field in struct.fields:
        member = c_member(field)
        if field.array:
            if field.default is None:
                parts.append(f".{member}_count = -1")
        elif field.is_struct:
            if is_pointer(field):
                if field.default == "struct":
                    name = c_name(field.struct)
                    parts.append(f".{member} = (struct {name} *)&{name}_default")
            else:
                inner = default_initializer(field.struct)
                if inner:
                    parts.append(f".{member} = {{{inner}}}")
        elif field.default is None:
            parts.append({"string": f".{member} = {{.size = -1}}", "bytes": f".{member} = {{.size = -1}}",
                          "records": f".{member} = {{.bytes = {{.size = -1}}}}"}[field.type])
        elif field.type in notation.INTEGER_RANGES and field.default:
            parts.append(f".{member} = {c_integer(field.default)}")
        elif field.default is True:
            parts.append(f".{member} = true")
    return ", ".join(parts)


def c_integer(value):
    if value == -(2**63):
        return "INT64_MIN"
    if not -(2**31) < value < 2**31:
        return f"INT64_C({value})" if value != -(2**31) else "INT32_MIN"
    return str(value)


def needs_default(struct):
    """The structs that some pointer's default points at need an image even when all their members are zero."""
    return any(
        is_pointer(field) and field.default == "struct" and field.struct is struct
        for other in [struct.message] + struct.message.structs
        for field in other.fields
    )


def c_versions(versions):
    return f"{{{versions.low}, {versions.high}}}" if versions else "{0, -1}"


def fields_table(struct):
    if not struct.fields:
        return ""
    name = c_name(struct)
    lines = [f"static const struct schema_field {name}_fields[] = {{"]
    for field in struct.fields:
        kind = "ARRAY" if field.array else "STRUCT" if field.is_struct else field.type.upper()
        parts = [f'.name = "{field.name}"', f".type = SCHEMA_{kind}", f".offset = offsetof(struct {name}, {c_member(field)})"]
        if field.array:
            parts.append(f".element = SCHEMA_{'STRUCT' if field.is_struct else field.type.upper()}")
        if field.is_struct:
            parts.append(f".of = &{c_name(field.struct)}_schema")
        parts += [f".versions = {c_versions(field.versions)}", f".nullable = {c_versions(field.nullable)}",
                  f".tagged = {c_versions(field.tagged)}", f".tag = {-1 if field.tag is None else field.tag}"]
        if field.default is None:
            parts.append(".default_null = true")
        elif isinstance(field.default, (bool, int)) and field.default:
            parts.append(f".default_value = {c_integer(int(field.default))}")
        parts += [f".{flag} = true" for flag, on in (("pointer", is_pointer(field)), ("ignorable", field.ignorable), ("key", field.key)) if on]
        lines.append("\t{" + ", ".join(parts) + "},")
    return "\n".join(lines + ["};"])


class Plans:
    """The plans of all versions; versions that read alike share one."""

    def __init__(self):
        self.by_shape = {}
        self.counts = {}
        self.out = []

    def op(self, field, flexible, element, tagged=False):
        kind = field.type
        if field.array and not element:
            return ("OP_COMPACT_ARRAY" if flexible else "OP_ARRAY"), (1 if flexible else 4)
        if field.is_struct:
            if not is_pointer(field) or element:
                return "OP_STRUCT", None
            return ("OP_TAGGED_STRUCT_POINTER" if tagged else "OP_STRUCT_POINTER"), None
        if kind in ("string", "bytes", "records") and flexible:
            return "OP_COMPACT_" + kind.upper(), 1
        return "OP_" + kind.upper(), MIN_SIZES[kind]

    def step(self, struct, index, field, version):
        """(C text, smallest size) of one field in one version."""
        flexible = struct.message.is_flexible(version) and not field.inflexible
        op, size = self.op(field, flexible, False, version in field.tagged)
        nullable = version in field.nullable
        parts = [f".op = {op}", f".offset = offsetof(struct {c_name(struct)}, {c_member(field)})", f".field = {index}"]
        plan = None
        if field.is_struct:
            plan, plan_size = self.plan(field.struct, version)
            parts.append(f".plan = &{plan}")
            if not field.array:
                size = 1 if nullable else plan_size
        if field.array:
            parts.append(f".element_op = {self.op(field, flexible, True)[0]}")
        if nullable:
            parts.append(".nullable = true")
        return "{" + ", ".join(parts) + "}", size

    def plan(self, struct, version):
        """(C name of the plan, smallest size in bytes)."""
        flexible = struct.message.is_flexible(version)
        steps, tagged, absent, size = [], [], [], 1 if flexible else 0
        for index, field in enumerate(struct.fields):
            if version not in field.versions:
                if not field.ignorable:
                    absent.append(str(index))
            elif version in field.tagged:
                tagged.append((field.tag, self.step(struct, index, field, version)[0]))
            else:
                text, step_size = self.step(struct, index, field, version)
                steps.append(text)
                size += step_size
        tagged = [text for _, text in sorted(tagged)]
        if len(tagged) > 64:
            raise notation.NotationError(f"{struct.name}: the codec counts on at most 64 tagged fields")
        size = max(size, 1)
        shape = (c_name(struct), flexible, tuple(steps), tuple(tagged), tuple(absent))
        if shape in self.by_shape:
            return self.by_shape[shape], size
        number = self.counts[c_name(struct)] = self.counts.get(c_name(struct), -1) + 1
        name = f"{c_name(struct)}_plan_{number}"
        parts = [f".of = &{c_name(struct)}_schema", f".min_size = {size}"]
        if flexible:
            parts.append(".flexible = true")
        for what, items, kind in (("steps", steps, "struct schema_step"), ("tagged", tagged, "struct schema_step"),
                                  ("absent", absent, "uint16_t")):
            if not items:
                continue
            self.out.append(f"static const {kind} {name}_{what}[] = {{\n\t" + ",\n\t".join(items) + ",\n};")
            count = "step_count" if what == "steps" else f"{what}_count"
            parts.append(f".{what} = {name}_{what}, .{count} = {len(items)}")
        self.out.append(f"static const struct schema_plan {name} = {{\n\t" + ",\n\t".join(parts) + ",\n};")
        self.by_shape[shape] = name
        return name, size


def depth(struct):
    return 1 + max((depth(field.struct) for field in struct.fields if field.is_struct), default=0)


def tables(schema):
    out = [HEAD, '#include "protocol/messages.h"\n', "#include <stddef.h>\n", '#include "protocol/limits.h"\n']
    deepest = max(depth(message) for message in schema.messages.values())
    out.append(f'_Static_assert({deepest} <= LIMIT_NESTING, "messages nest deeper than the limit");\n')
    defaults = set()
    for struct in all_structs(schema):
        name = c_name(struct)
        for field in struct.fields:
            if field.array:
                member = c_member(field)
                out.append(f"_Static_assert(offsetof(struct {name}, {member}_count) == offsetof(struct {name}, {member}) + "
                           f'sizeof(void *), "the count follows the array");')
        initializer = default_initializer(struct)
        if initializer or needs_default(struct):
            defaults.add(name)
            out.append(f"static const struct {name} {name}_default = {{{initializer or '0'}}};")
        out.append(fields_table(struct))
    plans = Plans()
    tops = {}
    for message in schema.messages.values():
        tops[message.name] = [plans.plan(message, version)[0] for version in message.versions]
    out += plans.out
    for struct in all_structs(schema):
        name = c_name(struct)
        top = struct is struct.message
        if top:
            out.append(f"static const struct schema_plan *const {name}_plans[] = {{\n\t"
                       + ",\n\t".join("&" + plan for plan in tops[struct.name]) + ",\n};")
        parts = [f'.name = "{struct.name}"', f".size = sizeof(struct {name})", f".field_count = {len(struct.fields)}",
                 f".min_version = {struct.versions.low}", f".max_version = {struct.versions.high}"]
        if struct.fields:
            parts.append(f".fields = {name}_fields")
        if name in defaults:
            parts.append(f".defaults = &{name}_default")
        if top:
            parts.append(f".plans = {name}_plans")
        parts.append(f".tags_offset = offsetof(struct {name}, unknown_tags)" if has_tags(struct) else ".tags_offset = -1")
        out.append(f"const struct schema_struct {name}_schema = {{\n\t" + ",\n\t".join(parts) + ",\n};")
    out.append("const struct api_row api_table[API_COUNT] = {")
    for index, api in enumerate(schema.apis.values()):
        if api.key != index:
            raise notation.NotationError(f"API keys have a gap before {api.key}")
        listeners = " | ".join(f"API_LISTENER_{listener.upper()}" for listener in api.listeners) or "0"
        out.append(f'\t{{.name = "{api.name}", .request = &{c_name(api.request)}_schema, .response = &{c_name(api.response)}_schema, '
                   f".key = {api.key}, .min_version = {api.request.versions.low}, .max_version = {api.request.versions.high}, "
                   f".listeners = {listeners}, .newest_version_unstable = {'true' if api.unstable else 'false'}}},")
    out.append("};\n")
    out.append("const struct record_row record_table[RECORD_COUNT] = {")
    for record in schema.records:
        for kind, name in record.types:
            key = f"&{c_name(record.key)}_schema" if record.key else "NULL"
            out.append(f'\t{{.name = "{name}", .key = {key}, .value = &{c_name(record.value)}_schema, .type = {kind}, '
                       f".log = RECORD_LOG_{record.log.upper()}}},")
    out.append("};\n")
    out.append("const struct schema_struct *const schema_messages[SCHEMA_MESSAGE_COUNT] = {")
    out += [f"\t&{c_name(message)}_schema," for message in schema.messages.values()]
    out.append("};")
    return "\n".join(text for text in out if text) + "\n"


def main():
    folder, output = sys.argv[1], pathlib.Path(sys.argv[2])
    try:
        schema = notation.load(folder)
        texts = {"messages.h": header(schema), "messages.c": tables(schema)}
    except notation.NotationError as error:
        sys.exit(str(error))
    for name, text in texts.items():
        (output / name).write_text(text)
    # The folders too: a file that is new must be noticed.
    inputs = [folder] + [str(path) for path in sorted(pathlib.Path(folder).rglob("*"))]
    pathlib.Path(sys.argv[3]).write_text("messages.h messages.c: " + " ".join(inputs) + "\n")


if __name__ == "__main__":
    main()
