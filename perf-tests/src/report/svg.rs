//! Small plots as SVG.

use std::fmt::Write;

/// What one server is drawn with.
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its points, in the plot's units.
    pub points: Vec<(f64, f64)>,
}

/// How an axis is called, and whether it is drawn by powers of ten.
pub struct Axis {
    /// Its name with its unit.
    pub title: &'static str,
    /// Whether its steps are factors.
    pub log: bool,
}

const W: f64 = 640.0;
const H: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;
const COLOURS: &[&str] = &["#c0392b", "#2471a3", "#1e8449", "#b7950b", "#6c3483", "#117a65", "#7e5109", "#515a5a"];

/// Text that is safe within HTML and SVG.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

struct Scale {
    from: f64,
    to: f64,
    log: bool,
    start: f64,
    length: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, axis: &Axis, start: f64, length: f64) -> Option<Self> {
        let usable: Vec<f64> = values.filter(|v| v.is_finite() && (!axis.log || *v > 0.0)).collect();
        let (low, high) = usable.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        if usable.is_empty() {
            return None;
        }
        let (from, to) = if axis.log {
            (10_f64.powf(low.log10().floor()), 10_f64.powf((high * 1.0001).log10().ceil()))
        } else {
            (low.min(0.0), if high > 0.0 { high * 1.05 } else { 1.0 })
        };
        Some(Self { from, to, log: axis.log, start, length })
    }

    fn at(&self, v: f64) -> f64 {
        let share = if self.log {
            (v.max(self.from).log10() - self.from.log10()) / (self.to.log10() - self.from.log10())
        } else {
            (v - self.from) / (self.to - self.from)
        };
        self.start + self.length * share
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let steps = (self.to.log10() - self.from.log10()).round() as i32;
            return (0..=steps).map(|i| self.from * 10_f64.powi(i)).collect();
        }
        (0..=5).map(|i| self.from + (self.to - self.from) * f64::from(i) / 5.0).collect()
    }
}

fn number(v: f64) -> String {
    match v.abs() {
        a if a >= 100.0 => format!("{v:.0}"),
        a if a >= 1.0 => format!("{v:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{v:.3}"),
    }
}

/// A plot of points, joined by lines where `joined`.
pub fn plot(title: &str, x: &Axis, y: &Axis, lines: &[Line], joined: bool) -> String {
    let points = || lines.iter().flat_map(|l| l.points.iter());
    let (Some(sx), Some(sy)) = (
        Scale::new(points().map(|p| p.0), x, LEFT, W - LEFT - RIGHT),
        Scale::new(points().map(|p| p.1), y, H - BOTTOM, TOP + BOTTOM - H),
    ) else {
        return String::new();
    };
    let mut out = format!("<svg viewBox=\"0 0 {W} {H}\" width=\"{W}\" height=\"{H}\" role=\"img\">");
    // writing to a String cannot fail
    let mut put = |text: String| out.push_str(&text);
    put(format!("<text x=\"{LEFT}\" y=\"16\" class=\"t\">{}</text>", escaped(title)));
    for v in sx.ticks() {
        let at = sx.at(v);
        put(format!("<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{}\" class=\"g\"/>", H - BOTTOM));
        put(format!("<text x=\"{at:.1}\" y=\"{}\" class=\"m\">{}</text>", H - BOTTOM + 14.0, number(v)));
    }
    for v in sy.ticks() {
        let at = sy.at(v);
        put(format!("<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"g\"/>", W - RIGHT));
        put(format!("<text x=\"{}\" y=\"{:.1}\" class=\"e\">{}</text>", LEFT - 5.0, at + 4.0, number(v)));
    }
    put(format!("<text x=\"{}\" y=\"{}\" class=\"m\">{}</text>", (LEFT + W - RIGHT) / 2.0, H - 10.0, escaped(x.title)));
    put(format!("<text x=\"4\" y=\"{}\" class=\"s\">{}</text>", TOP - 4.0 + 14.0, escaped(y.title)));
    for (i, line) in lines.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let mut path = String::new();
        for (px, py) in line.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            let (cx, cy) = (sx.at(*px), sy.at(*py));
            if joined {
                let _ = write!(path, "{cx:.1},{cy:.1} ");
            } else {
                put(format!("<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{colour}\"/>"));
            }
        }
        if joined {
            put(format!("<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        }
        let at = TOP + 14.0 + 18.0 * i as f64;
        put(format!(
            "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>",
            W - RIGHT + 12.0,
            at - 5.0
        ));
        put(format!("<text x=\"{}\" y=\"{at}\" class=\"s\">{}</text>", W - RIGHT + 30.0, escaped(&line.name)));
    }
    out.push_str("</svg>");
    out
}
