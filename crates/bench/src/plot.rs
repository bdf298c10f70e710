//! One plot as SVG: lines over steps of equal width, from zero up, with a grid and a legend. No more than that.

use std::fmt::Write as _;

pub struct Plot {
    pub title: &'static str,
    /// What stands below, and what the lines are measured in.
    pub across: &'static str,
    pub unit: &'static str,
    pub steps: Vec<String>,
    pub lines: Vec<Line>,
}

pub struct Line {
    pub name: &'static str,
    /// One for each step.
    pub values: Vec<f64>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 44.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 52.0;
const COLORS: [&str; 4] = ["#0b6e99", "#c2571a", "#5b8c2a", "#7a4fa3"];

impl Plot {
    pub fn svg(&self) -> String {
        let highest = self.lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max);
        let step = grid_step(highest);
        let top = (highest / step).ceil().max(1.0) * step;
        let last = self.steps.len().saturating_sub(1).max(1) as f64;
        let x = |index: usize| LEFT + (WIDTH - LEFT - RIGHT) * index as f64 / last;
        let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"system-ui, sans-serif\" \
             font-size=\"13\" fill=\"#333\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"26\" font-size=\"16\" font-weight=\"600\">{}</text>\n",
            self.title
        );
        let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
        };
        text(WIDTH / 2.0, HEIGHT - 10.0, "middle", self.across);
        for (index, step) in self.steps.iter().enumerate() {
            text(x(index), HEIGHT - BOTTOM + 20.0, "middle", step);
        }
        let mut value = 0.0;
        while value <= top {
            text(LEFT - 8.0, y(value) + 4.0, "end", &format!("{value} {}", self.unit));
            value += step;
        }
        let mut from = LEFT;
        for (line, color) in self.lines.iter().zip(COLORS) {
            let _ = writeln!(
                out,
                "<rect x=\"{from:.1}\" y=\"44\" width=\"14\" height=\"4\" fill=\"{color}\"/>\
                 <text x=\"{:.1}\" y=\"50\">{}</text>",
                from + 20.0,
                line.name
            );
            from += 40.0 + 6.6 * line.name.chars().count() as f64;
        }
        let mut value = 0.0;
        while value <= top {
            let at = y(value);
            let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#ddd\" fill=\"none\"/>", WIDTH - RIGHT);
            value += step;
        }
        for (line, color) in self.lines.iter().zip(COLORS) {
            let points: Vec<String> = line
                .values
                .iter()
                .enumerate()
                .map(|(index, &value)| format!("{:.1},{:.1}", x(index), y(value)))
                .collect();
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" stroke=\"{color}\" stroke-width=\"2.5\" fill=\"none\"/>",
                points.join(" ")
            );
            for point in &points {
                let (x, y) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3.5\" fill=\"{color}\"/>");
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

/// 1, 2 or 5 times a power of ten, so that there are some five lines.
fn grid_step(highest: f64) -> f64 {
    let rough = (highest / 5.0).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_round_steps() {
        assert_eq!([3.0, 47.0, 100.0].map(|highest| grid_step(highest).to_string()), ["1", "10", "20"]);
    }

    #[test]
    fn every_value_is_a_point() {
        let line = |name, values| Line { name, values };
        let plot = Plot {
            title: "cost",
            across: "queries",
            unit: "µs",
            steps: vec!["0".into(), "1".into()],
            lines: vec![line("one", vec![1.0, 2.0]), line("other", vec![0.0, 5.0])],
        };
        let svg = plot.svg();
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("<polyline").count(), 2);
    }
}
