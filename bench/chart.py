"""Small SVG charts: text stays text, colours follow the reader's light or dark setting, readable at 640 px. Same input, same bytes."""
import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT = 760, 190, 130  # room for labels, and for the values behind the bars
BAR, BAR_GAP, GROUP_GAP = 13, 2, 12
COLOURS = {"shale": ("#1d4ed8", "#7aa7ff"), "slatedb": ("#c2570c", "#f5a35c"), "leveldb": ("#0f766e", "#4fd1c5"), "rocksdb": ("#7e22ce", "#c79bff"),
           "GET": ("#1d4ed8", "#7aa7ff"), "PUT": ("#c2570c", "#f5a35c")}
STYLE = """<style>
svg { background: #ffffff } text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 } .t { font-weight: 600; font-size: 15px }
.d { fill: #59636e; font-size: 12px } .g { stroke: #d1d9e0; stroke-width: 1 } .w { stroke: #1f2328; stroke-width: 1.2 }
.i { stroke: #1f2328; stroke-width: 2; stroke-dasharray: 3 2 }
%s
@media (prefers-color-scheme: dark) { svg { background: #0d1117 } text { fill: #e6edf3 } .d { fill: #9aa4af } .g { stroke: #30363d } .w, .i { stroke: #e6edf3 }
%s }
</style>"""


def css_name(name):
    return "c-" + name.lower()


def number(value):
    """Three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return format(int(round(value, 2 - int(math.floor(math.log10(abs(value)))))), ",")
    digits = max(0, 2 - int(math.floor(math.log10(abs(value)))))
    return "%.*f" % (min(digits, 4), value)


def times(value):
    return number(value) + "x" if value < 10 else "%dx" % round(value)


class Drawing:
    def __init__(self, title, description, height, used):
        self.height, self.parts = height, []
        light = " ".join(".%s { fill: %s; stroke: %s }" % (css_name(n), COLOURS[n][0], COLOURS[n][0]) for n in used)
        dark = " ".join(".%s { fill: %s; stroke: %s }" % (css_name(n), COLOURS[n][1], COLOURS[n][1]) for n in used)
        self.parts.append('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">' % (WIDTH, height, WIDTH, height))
        self.parts.append("<title>%s</title>\n<desc>%s</desc>" % (escape(title), escape(description)))
        self.parts.append(STYLE % (light, dark))
        self.text(12, 24, title, "t")

    def text(self, x, y, text, kind="", anchor="start"):
        more = (' class="%s"' % kind if kind else "") + ("" if anchor == "start" else ' text-anchor="%s"' % anchor)
        self.parts.append('<text x="%.1f" y="%.1f"%s>%s</text>' % (x, y, more, escape(text)))

    def line(self, x1, y1, x2, y2, kind):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, kind))

    def box(self, x, y, width, height, kind):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" stroke-width="0" class="%s"/>' % (x, y, max(width, 0.5), height, css_name(kind)))

    def legend(self, y, names):
        x = 12
        for key, name in names:
            self.box(x, y - 10, 12, 12, key)
            self.text(x + 17, y, name, "d")
            x += 30 + 7.2 * len(name)

    def done(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


class Axis:
    """From values to pixels: logarithmic over whole decades, or linear from zero."""

    def __init__(self, low, high, start, end, log):
        self.log, self.start, self.end = log, start, end
        if log:
            self.low, self.high = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
            self.high = max(self.high, self.low + 1)
        else:
            self.low, self.high = 0, high or 1

    def at(self, value):
        seen = math.log10(value) if self.log and value > 0 else self.low if self.log else value
        share = (seen - self.low) / (self.high - self.low)
        return self.start + (self.end - self.start) * min(1, max(0, share))

    def ticks(self):
        if self.log:
            return [10.0 ** i for i in range(self.low, self.high + 1)]
        step = 10 ** math.floor(math.log10(self.high))
        step = next(s for s in (step / 5, step / 2, step, step * 2) if self.high / s <= 6)
        return [i * step for i in range(int(self.high / step + 1e-9) + 1)]


def tick_text(value):
    return "%g" % value if value < 1000 else format(int(value), ",")


def bars(title, description, unit, groups, names, log=True, ideals=None):
    """groups: [(label, {key: (median, smallest, largest, words) or text of a failure})], names: [(key, shown)]. Whiskers show the spread."""
    values = [v for _, found in groups for v in found.values() if not isinstance(v, str)]
    rows = sum(len(found) for _, found in groups)
    top = 66
    height = top + rows * (BAR + BAR_GAP) + len(groups) * GROUP_GAP + 46
    d = Drawing(title, description, height, [k for k, _ in names])
    d.legend(48, names)
    axis = Axis(min([v[1] for v in values if v[1] > 0] or [1]), max([v[2] for v in values] or [1]), LEFT, WIDTH - RIGHT, log)
    bottom = height - 42
    for tick in axis.ticks():
        d.line(axis.at(tick), top - 6, axis.at(tick), bottom, "g")
        d.text(axis.at(tick), bottom + 14, tick_text(tick), "d", "middle")
    d.text(WIDTH - RIGHT, bottom + 32, unit + (", log axis" if log else ""), "d", "end")
    y = top
    for label, found in groups:
        d.text(LEFT - 8, y + (len(found) * (BAR + BAR_GAP)) / 2 + 4, label, "", "end")
        begin = y
        for key, _ in names:
            if key not in found:
                continue
            if isinstance(found[key], str):
                d.text(LEFT + 4, y + BAR - 2, found[key], "d")
            else:
                median, low, high, words = found[key]
                d.box(LEFT, y, axis.at(median) - LEFT, BAR, key)
                d.line(axis.at(low), y + BAR / 2, axis.at(high), y + BAR / 2, "w")
                d.line(axis.at(low), y + 3, axis.at(low), y + BAR - 3, "w")
                d.line(axis.at(high), y + 3, axis.at(high), y + BAR - 3, "w")
                d.text(max(axis.at(high), axis.at(median)) + 6, y + BAR - 2, words, "d")
            y += BAR + BAR_GAP
        if ideals and label in ideals:
            d.line(axis.at(ideals[label]), begin - 3, axis.at(ideals[label]), y + 1, "i")
        y += GROUP_GAP
    return d.done()


def stacked(title, description, unit, groups, kinds):
    """groups: [(label, [(name, {kind: value}, words)])]: a bar for each name, its kinds one behind the other."""
    totals = [sum(found.values()) for _, lines in groups for _, found, _ in lines]
    rows, top = sum(len(lines) for _, lines in groups), 66
    height = top + rows * (BAR + BAR_GAP) + len(groups) * GROUP_GAP + 46
    d = Drawing(title, description, height, kinds)
    d.legend(48, [(k, k) for k in kinds])
    axis = Axis(0, max(totals or [1]), LEFT + 60, WIDTH - RIGHT, False)
    bottom = height - 42
    for tick in axis.ticks():
        d.line(axis.at(tick), top - 6, axis.at(tick), bottom, "g")
        d.text(axis.at(tick), bottom + 14, tick_text(tick), "d", "middle")
    d.text(WIDTH - RIGHT, bottom + 32, unit, "d", "end")
    y = top
    for label, lines in groups:
        d.text(12, y + (len(lines) * (BAR + BAR_GAP)) / 2 + 4, label)
        for name, found, words in lines:
            d.text(LEFT + 54, y + BAR - 2, name, "d", "end")
            x = axis.at(0)
            for kind in kinds:
                wide = axis.at(found.get(kind, 0)) - axis.at(0)
                if found.get(kind, 0) > 0:
                    d.box(x, y, wide, BAR, kind)
                    x += wide
            d.text(x + 6, y + BAR - 2, words, "d")
            y += BAR + BAR_GAP
        y += GROUP_GAP
    return d.done()


def lines(title, description, x_unit, y_unit, series, names):
    """series: {key: [(x, median, smallest, largest)]}; both axes logarithmic."""
    height, top, left, right = 330, 66, 64, 24
    d = Drawing(title, description, height, [k for k, _ in names])
    d.legend(48, names)
    points = [p for found in series.values() for p in found]
    across = Axis(min(p[0] for p in points), max(p[0] for p in points), left, WIDTH - right, True)
    up = Axis(min(p[2] for p in points), max(p[3] for p in points), height - 44, top, True)
    for tick in up.ticks():
        d.line(left, up.at(tick), WIDTH - right, up.at(tick), "g")
        d.text(left - 6, up.at(tick) + 4, tick_text(tick), "d", "end")
    for tick in across.ticks():
        d.line(across.at(tick), top, across.at(tick), height - 44, "g")
        d.text(across.at(tick), height - 28, tick_text(tick), "d", "end" if tick == across.ticks()[-1] else "middle")
    d.text(WIDTH - right, height - 10, "%s across, %s up; log axes" % (x_unit, y_unit), "d", "end")
    for key, _ in names:
        found = series.get(key, [])
        path = " ".join("%.1f,%.1f" % (across.at(p[0]), up.at(p[1])) for p in found)
        if len(found) > 1:
            d.parts.append('<polyline points="%s" class="%s" style="fill:none" stroke-width="2"/>' % (path, css_name(key)))
        for x, median, low, high in found:
            d.line(across.at(x), up.at(low), across.at(x), up.at(high), "w")
            d.parts.append('<circle cx="%.1f" cy="%.1f" r="3.5" class="%s"/>' % (across.at(x), up.at(median), css_name(key)))
    return d.done()
