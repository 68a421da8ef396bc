# content.awk - what the golden directories hold, as text for rwmake: awk -v batch=NAME -f content.awk
# The same text every time: random numbers are our own.

function random() { # 0 ... 1
    seed = (seed * 16807) % 2147483647
    return seed / 2147483647
}

function put(series, value, t) { print series " " value " " sprintf("%.0f", t) }

function stamp(t) { return sprintf("%.0f", t) }

# A float of every form of docs/format/codec.md, 300 of each, every 15 s.
function floats(t0, n,   i, t, sum, resets, accumulated, x) {
    for (i = 0; i < n; i++) {
        t = t0 + i * step
        put("constant{kind=\"decimal\"}", 5, t)
        put("constant{kind=\"exponent\"}", "0.001", t)
        put("constant{kind=\"bits\"}", "3.1415926535897931", t)
        put("constant{kind=\"stale at the end\"}", i == n - 1 ? STALE : 7, t)
        put("constant{kind=\"stale alone\"}", STALE, t)
        put("decimal{mode=\"plain\"}", int(random() * 100), t)
        put("decimal{mode=\"plain\",digits=\"3\"}", sprintf("%.3f", random() * 100 - 50), t)
        sum += int(random() * 50)
        put("decimal{mode=\"delta\"}", sum, t)
        resets = i % 97 == 96 ? 0 : resets + int(random() * 1000) / 10
        put("decimal{mode=\"delta\",resets=\"yes\"}", resets, t)
        put("decimal{mode=\"delta of deltas\"}", i * i * 3 + int(random() * 2), t)
        put("decimal{mode=\"line\"}", 1700000000 + i * 15, t)
        put("decimal{divisor=\"yes\"}", 7 + 1000 * int(random() * 5000), t)
        put("decimal{exceptions=\"packed\"}", i % 40 == 7 ? 4000 + i : int(random() * 8), t)
        put("decimal{exceptions=\"varint\"}", i % 60 == 9 ? sprintf("%.0f", 2 ^ (i / 6)) : int(random() * 4), t)
        put("decimal{stale=\"in the middle\"}", i % 70 == 35 ? STALE : 100 + int(random() * 9), t)
        put("decimal{stale=\"at the end\"}", i == n - 1 ? STALE : 100 + int(random() * 9), t)
        accumulated += 0.1
        put("corrected{kind=\"sum of tenths\"}", sprintf("%.17g", accumulated), t)
        put("corrected{kind=\"not a number\"}", i % 60 == 59 ? "0x7ff8000000000001" : i / 4, t)
        put("corrected{kind=\"infinite\"}", i % 90 == 20 ? "inf" : i % 90 == 60 ? "-inf" : i % 90 == 61 ? "-0" : 20 + i % 7, t)
        put("bits{kind=\"doubles\"}", sprintf("%.17g", random() * random()), t)
        put("bits{kind=\"negative\"}", sprintf("%.17g", -log(random() + 1e-9) * (i % 2 ? 1 : -1)), t)
        put("bits{kind=\"floats\"}", sprintf("%.17g", int(random() * 16777216) / 1073741824), t)
        put("bits{kind=\"large and small\"}", sprintf("%.17g", exp(random() * 1000 - 500)), t)
        put("gauge{kind=\"wave\"}", sprintf("%.2f", 20 + 10 * sin(i / 20)), t)
        put("times{kind=\"jitter\"}", i % 5, t + int(random() * 20))
        x += 1 + int(random() * random() * 60000)
        put("times{kind=\"irregular\"}", i % 11, t0 + x)
        put("times{kind=\"bursts\"}", i % 3, t0 + int(i / 10) * 600000 + i % 10)
    }
    split("0x7ff0000000000001 0x7ff0000000000002 0x7ff8dead0000beef 0xfff8000000000000 0xffffffffffffffff " \
        "0x8000000000000000 0x0000000000000000 0x7ff0000000000000 0xfff0000000000000 0x0000000000000001 " \
        "0x800fffffffffffff 0x000fffffffffffff 0x0010000000000000 0x7fefffffffffffff 0xffefffffffffffff " \
        "0x3ff0000000000001 0x4340000000000000 0xc340000000000001", special, " ")
    for (i = 1; i <= 18; i++) {
        put("special", special[i], t0 + i * step)
        put("special{alone=\"" i "\"}", special[i], t0 + i * step)
    }
    put("special", STALE, t0 + 19 * step)
}

function strange_labels(t,   i, many, long) {
    print "---"
    for (i = 0; i < 2000; i++) long = long "0123456789"
    put("long_value{text=\"" long "\"}", 1, t)
    for (i = 0; i < 69; i++) many = many (i ? "," : "") "label_" i "=\"" (i * i) "\""
    put("many_labels{" many "}", 2, t)
    for (i = 0; i < 5; i++) put("many_labels{" many ",last=\"" i "\"}", i, t)
    put("{alone=\"without a name\"}", 3, t)
    put("named_only", 4, t)
    put("größe{länge=\"zwölf Meter\",日本語=\"ラベル\",with.dots=\"ü\"}", 5, t)
    put("escapes{text=\"quote \\\" backslash \\\\ line\\nend\",zero=\"tab\there\"}", 6, t)
    put("a", 7, t)
    put("a{a=\"a\"}", 8, t)
    for (i = 0; i < 40; i++) put("fleet{instance=\"host-" (i % 8) ":9100\",cpu=\"" int(i / 8) "\",mode=\"idle\"}", i, t)
}

function long_series(t0,   i, value) {
    for (i = 0; i < 9001; i++) {
        if (i % 3000 == 0) print "---"
        value += int(random() * 7)
        put("long_series", value, t0 + i * 1000)
    }
}

# KEY=VALUE... of an integer histogram whose buckets are a, b, c; of floats they are halved.
function histogram(series, t, kind, hint, schema, sign, a, b, c, zero, sum, start,   f, spans) {
    f = kind == "float" ? 0.5 : 1
    spans = (a % 5 == 0 ? "-2:1,1:2" : "0:3") "/" a * f "," b * f "," c * f
    print "@histogram " series " " stamp(t) " kind=" kind " hint=" hint " schema=" schema \
        " threshold=0.001 zero=" zero * f " count=" (zero + (sign == "both" ? 2 : 1) * (a + b + c)) * f \
        " sum=" sum (sign == "neg" ? "" : " pos=" spans) (sign == "pos" ? "" : " neg=" spans) (start ? " start=" stamp(start) : "")
}

function histograms(t0, n,   i, t, h, a, b, c, kind) {
    for (i = 0; i < n; i++) {
        t = t0 + i * step
        a = 5 * i + 3; b = 7 * i + 1; c = i * i
        for (h = 0; h < 4; h++) {
            histogram("hist{kind=\"int\",hint=\"" h "\"}", t, "int", h, 3, "pos", a, b, c, 2, i * 1.5, 0)
            histogram("hist{kind=\"float\",hint=\"" h "\"}", t, "float", h, -4, "both", a, b, c, 1, sprintf("%.17g", i / 3), 0)
        }
        histogram("hist{kind=\"int\",hint=\"changing\"}", t, "int", i % 4, 8, "neg", a, b, c, 0, -i, t0 - 1000)
        histogram("hist{layout=\"changing\"}", t, i % 20 < 10 ? "int" : "float", 0, i % 7 - 3, i % 3 ? "both" : "pos", i % 4 + 4, b, c, i, i, i % 2 ? t0 : 0)
        print "@histogram hist{kind=\"custom\"} " stamp(t) " kind=int schema=-53 sum=" i " count=" a + b + c " bounds=0.1,0.5,1,2.5,10 pos=0:2,1:1/" a "," b "," c
        print "@histogram hist{kind=\"custom float\"} " stamp(t) " kind=float schema=-53 hint=3 sum=0.1 count=" a / 2 " bounds=-1,0," (i < n / 2 ? "1" : "1,2") " pos=1:1/" a / 2
        if (i % 25 == 24) {
            print "@histogram hist{stale=\"middle\"} " stamp(t) " kind=int sum=" STALE
        } else {
            histogram("hist{stale=\"middle\"}", t, "int", 2, 0, "both", a, b, c, 3, i, 0)
        }
        print "@histogram hist{buckets=\"none\"} " stamp(t) " kind=" (i % 2 ? "int" : "float") " count=0 sum=0 hint=3"
        if (i % 2) put("mixed", i, t)
        else histogram("mixed", t, "int", 0, 1, "pos", a, b, c, 0, i, 0)
    }
    print "@histogram hist{stale=\"end\"} " stamp(t0) " kind=float count=1 sum=1 pos=0:1/1"
    print "@histogram hist{stale=\"end\"} " stamp(t0 + step) " kind=float sum=" STALE
    print "@histogram hist{sum=\"nan\"} " stamp(t0) " kind=int count=3 sum=0x7ff8000000000001 pos=-2147483648:1/2"
    for (i = 0; i < 60; i++) { # start times: floats
        print "started{start=\"one\"} " i * 2 " " stamp(t0 + i * step) " " stamp(t0 - 5000)
        print "started{start=\"some\"} " i % 9 " " stamp(t0 + i * step) " " stamp(i % 3 ? t0 + i * step - 10 : 0)
        print "started{start=\"resets\"} " i % 20 " " stamp(t0 + i * step) " " stamp(t0 + int(i / 20) * 20 * step - 1)
    }
}

function exemplars(t0,   i) {
    for (i = 0; i < 30; i++) {
        print "@exemplar decimal{mode=\"delta\"} {trace_id=\"" sprintf("%08x%08x", random() * 4294967295, i) "\",span=\"" i % 3 "\"} " i * 0.25 " " stamp(t0 + i * step)
        print "@exemplar hist{kind=\"int\",hint=\"0\"} {trace_id=\"ü" i "\"} " i " " stamp(t0 + i * step + 7)
    }
    print "@exemplar decimal{mode=\"delta\"} {} 1e-300 " stamp(t0 + 3)
    print "@exemplar a{} {} inf " stamp(t0 + 4)
    print "@exemplar constant{kind=\"decimal\"} {text=\"" sprintf("%0100d", 0) "\"} 0x7ff8000000000001 " stamp(t0 + 5)
}

function metadata(extra,   i) {
    for (i = 0; i < 8; i++) print "@metadata family_" i " " i " " (i % 2 ? "seconds" : "-") " Type number " i extra "."
    print "@metadata größe 2 m Länge in Metern, 長さ, \"quoted\", back\\slash" extra
    print "@metadata empty 1 - "
    print "@metadata decimal 1 - A counter."
}

function late(   i) {
    for (i = 0; i < 50; i++) {
        put("late{by=\"months\"}", i * 3, 1683000000000 + i * 60000)
        put("late{by=\"more months\"}", sprintf("%.17g", random()), 1672000000000 + i * 86400000)
        put("decimal{mode=\"plain\"}", 1000 + i, 1699000000000 + i * 7200000)
        put("late{by=\"years\"}", i, 946684799999 + i)
    }
    put("late{by=\"decades\"}", 1, -5000)
    put("late{by=\"decades\"}", 2, 0)
}

function refused(t0,   i, many, long) {
    for (i = 0; i < 128; i++) many = many (i ? "," : "") "l" i "=\"x\""
    put("too_many{" many "}", 1, t0)
    for (i = 0; i < 4000; i++) long = long "0123456789"
    put("too_long{value=\"" long "\"}", 1, t0)
    put("far_future", 1, 7258118400000)
    put("conflict", 1, t0)
    put("conflict", 2, t0)
    put("conflict", 1, t0)
    put("a", 70, t0 + 1)
    for (i = 0; i < 70; i++) put("wide{i=\"" i "\"}", i, t0)
    print "@histogram bad_histogram " stamp(t0) " kind=int count=9 sum=1 pos=0:1/1"
}

# What arrived before, some of it with other values; and between it.
function again(t0,   i) {
    for (i = 0; i < 40; i++) {
        put("constant{kind=\"decimal\"}", i % 4 ? 5 : 6, t0 + i * step)
        put("constant{kind=\"exponent\"}", "0.001", t0 + i * step + 5)
        put("gauge{kind=\"wave\"}", 1, t0 + i * step)
    }
    histogram("hist{kind=\"int\",hint=\"0\"}", t0, "int", 0, 3, "pos", 99, 1, 1, 2, 1, 0)
}

# Enough series for groups of rows, pages of label values, lists of postings in segments.
function many(t0,   i) {
    for (i = 0; i < 4000; i++) {
        put("many_" int(i / 50) "{instance=\"host-" sprintf("%04x", i * 16807 % 65521) ".example\",even=\"" (i % 2 ? "no" : "yes") "\"}", i % 3, t0 + i % 2)
    }
}

# Small requests, each a commit: what fills segments of the log.
function filler(t0, n,   i) {
    for (i = 0; i < n; i++) {
        put("filler", 1, t0 + i * 1000)
        print "---"
    }
}

BEGIN {
    STALE = "0x7ff0000000000002"
    T = 1700000000000
    DAY = 86400000
    step = 15000
    seed = 4711
    if (batch == "first") { floats(T, 300); strange_labels(T) }
    if (batch == "long") long_series(T)
    if (batch == "many") many(T + 5000)
    if (batch == "histograms") histograms(T, 60)
    if (batch == "around") { exemplars(T); metadata("") }
    if (batch == "second") { seed = 99; floats(T + DAY, 120); late() }
    if (batch == "second histograms") histograms(T + DAY, 30)
    if (batch == "again") again(T)
    if (batch == "refused") refused(T)
    if (batch == "tenant") { seed = 5; floats(T + 3 * DAY, 20); exemplars(T + 3 * DAY); metadata(" of a tenant") }
    if (batch == "filler 1") filler(T + DAY, 2100)
    if (batch == "filler 2") filler(T + 2 * DAY, 2100)
    if (batch == "last") { seed = 31; floats(T + 4 * DAY, 40); strange_labels(T + 4 * DAY); again(T); exemplars(T + 4 * DAY); metadata(", changed") }
    if (batch == "last histograms") histograms(T + 4 * DAY, 12)
}
