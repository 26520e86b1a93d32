//! The measurements as a picture: batch size against time and against memory, as SVG without any script.

use std::{collections::BTreeMap, fmt::Write as _};

use super::report::{Measurement, Report};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 280.0;
const MARGIN: f64 = 56.0;
const COLOURS: [&str; 4] = ["#1b6ca8", "#d1495b", "#66a182", "#8d6a9f"];

/// A diagram of one measure against the number of records, both in powers of ten.
struct Panel<'a> {
    title: String,
    /// The points of each program.
    series: BTreeMap<&'a str, Vec<(f64, f64)>>,
}

impl Report {
    /// Draws a row of two diagrams for each workload, latency and state.
    pub fn to_svg(&self) -> String {
        let row = |it: &Measurement| (it.workload, it.latency_millis, it.state);
        let mut rows = Vec::new();
        for it in &self.measurements {
            if !rows.contains(&row(it)) {
                rows.push(row(it));
            }
        }
        let mut svg = String::new();
        let (width, height) =
            (2.0 * WIDTH, HEIGHT * f64::from(u32::try_from(rows.len()).unwrap_or(0)));
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        );
        let mut top = 0.0;
        for (kind, latency, state) in rows {
            let is_drawn = |it: &&Measurement| row(it) == (kind, latency, state);
            let lanes: Vec<_> = self.measurements.iter().filter(is_drawn).collect();
            let latency = latency.map(|it| format!(", {it} ms a request")).unwrap_or_default();
            let wall = |it: &Measurement| Some(it.wall_millis.median);
            for (left, title, value) in [
                (0.0, "ms a batch", &wall as &dyn Fn(&Measurement) -> Option<f64>),
                (WIDTH, "MB at most", &Measurement::peak_megabytes),
            ] {
                let mut series = BTreeMap::<_, Vec<_>>::new();
                for it in &lanes {
                    let records = f64::from(u32::try_from(it.records).unwrap_or(u32::MAX));
                    let points = series.entry(it.program.as_str()).or_default();
                    points.extend(value(it).map(|value| (records, value)));
                }
                let title = format!("{kind}, {state}{latency}: {title} by records");
                Panel { title, series }.draw(left, top, &mut svg);
            }
            top += HEIGHT;
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Panel<'_> {
    fn draw(&self, left: f64, top: f64, svg: &mut String) {
        let points = || self.series.values().flatten();
        let across = Axis::over(points().map(|point| point.0), left + MARGIN, left + WIDTH - 16.0);
        let up = Axis::over(points().map(|point| point.1), top + HEIGHT - MARGIN, top + 36.0);
        let (x0, x1, y0, y1) = (across.start, across.end, up.start, up.end);
        let _ = write!(
            svg,
            "<text x=\"{x0}\" y=\"{}\" font-weight=\"bold\">{}</text>\
             <path d=\"M{x0} {y1}V{y0}H{x1}\" fill=\"none\" stroke=\"black\"/>",
            top + 20.0,
            self.title,
        );
        for tick in across.ticks() {
            let x = across.place(tick);
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {y0}v4\" stroke=\"black\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
                y0 + 16.0
            );
        }
        for tick in up.ticks() {
            let y = up.place(tick);
            let _ = write!(
                svg,
                "<path d=\"M{x0} {y:.1}H{x1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                x0 - 6.0,
                y + 4.0
            );
        }
        let mut legend = x0;
        for ((program, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let places: Vec<_> = points
                .iter()
                .map(|&(x, y)| format!("{:.1},{:.1}", across.place(x), up.place(y)))
                .collect();
            let _ = write!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
                 <text x=\"{legend}\" y=\"{}\" fill=\"{colour}\">{program}</text>",
                places.join(" "),
                y0 + 36.0
            );
            for place in places {
                let (x, y) = place.split_once(',').unwrap_or_default();
                let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
            }
            legend += 70.0;
        }
    }
}

/// An axis of whole powers of ten.
struct Axis {
    first: i32,
    last: i32,
    start: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let logarithms = values.filter(|value| *value > 0.0).map(f64::log10);
        let (mut first, mut last) = (i32::MAX, i32::MIN);
        for logarithm in logarithms {
            #[expect(clippy::cast_possible_truncation, reason = "a logarithm of ten is small")]
            let (floor, ceiling) = (logarithm.floor() as i32, logarithm.ceil() as i32);
            (first, last) = (first.min(floor), last.max(ceiling));
        }
        if first > last {
            (first, last) = (0, 1);
        }
        Self { first, last: last.max(first + 1), start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.start + share * (self.end - self.start)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|power| 10_f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{Case, tests::measurement},
        workload::{Kind, Mix, State},
    };

    /// The picture's tags, if all of them are closed in their order.
    fn tags(svg: &str) -> Option<Vec<String>> {
        let mut open = Vec::new();
        let mut tags = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _) = tag.split_once('>')?;
            if let Some(name) = tag.strip_prefix('/') {
                (open.pop()? == name).then_some(())?;
                continue;
            }
            let name = tag.split([' ', '/']).next()?.to_owned();
            (tag.matches('"').count() % 2 == 0).then_some(())?;
            if !tag.ends_with('/') {
                open.push(name.clone());
            }
            tags.push(name);
        }
        open.is_empty().then_some(tags)
    }

    #[test]
    fn the_picture_is_well_formed() {
        #[track_caller]
        fn check(states: &[State], records: &[usize], programs: &[&str], panels: usize) {
            let mut measurements = Vec::new();
            for latency_millis in [Some(4), Some(15)] {
                for &state in states {
                    for &records in records {
                        let case = Case { workload: Kind::Appian, latency_millis, records, state };
                        measurements.extend(programs.iter().map(|it| measurement(case, it, 1.0)));
                    }
                }
            }
            let mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };
            let svg = Report { rounds: 1, mix, measurements }.to_svg();
            let tags = tags(&svg).unwrap();
            let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
            let lines = panels * programs.len();
            assert_eq!(
                (count("svg"), count("polyline"), count("circle")),
                (1, lines, lines * records.len())
            );
            for state in states {
                let title = format!("appian, {state}, 15 ms a request: ms a batch by records");
                assert!(svg.contains(&title), "{svg}");
            }
        }

        check(&[], &[], &[], 0);
        check(&[State::Existing], &[500], &["sink"], 4);
        check(&[State::New, State::Mixed], &[1, 10, 10_000], &["sink", "naive"], 8);
    }
}
