//! The measurements as a picture: batch size against time and against memory, as SVG without any script.

use std::{collections::BTreeMap, ops::Range};

use plotters::{coord::Shift, prelude::*};

use super::report::{Case, Measurement, Report, latency};

/// The size of a diagram in pixels.
const SIZE: (u32, u32) = (460, 300);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd1, 0x49, 0x5b),
    RGBColor(0x66, 0xa1, 0x82),
    RGBColor(0x8d, 0x6a, 0x9f),
];
const FLOOR_COLOUR: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// A diagram of one measure against the number of records, both in powers of ten.
struct Panel<'a> {
    title: &'a str,
    measure: &'a str,
    /// The points of each program.
    series: BTreeMap<&'a str, Vec<(f64, f64)>>,
    /// A line to compare them with.
    floor: Option<f64>,
}

impl Report {
    /// Draws a row of two diagrams for each workload, latency and state.
    pub fn to_svg(&self) -> anyhow::Result<String> {
        let row = |it: &Measurement| Case { records: 0, ..it.case };
        let mut rows = Vec::new();
        for it in &self.measurements {
            if !rows.contains(&row(it)) {
                rows.push(row(it));
            }
        }
        let n_rows = rows.len().max(1);
        let height = SIZE.1 * u32::try_from(n_rows).unwrap_or(1);
        let mut svg = String::new();
        let root = SVGBackend::with_string(&mut svg, (2 * SIZE.0, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((n_rows, 2));
        for (case, areas) in rows.into_iter().zip(areas.chunks(2)) {
            let Case { workload, latency_millis, state, .. } = case;
            let is_drawn = |it: &&Measurement| row(it) == case;
            let series = |value: &dyn Fn(&Measurement) -> Option<f64>| {
                let mut series = BTreeMap::<_, Vec<_>>::new();
                for it in self.measurements.iter().filter(is_drawn) {
                    let records = f64::from(u32::try_from(it.case.records).unwrap_or(u32::MAX));
                    let points = series.entry(it.program.as_str()).or_default();
                    points.extend(value(it).map(|value| (records, value)));
                }
                series
            };
            let title = &format!("{workload}, {state}{}", latency(latency_millis));
            // As in the table: a batch of many records takes two requests, one after the other.
            let floor =
                latency_millis.filter(|it| *it > 0).and_then(|it| u32::try_from(2 * it).ok());
            let wall = Panel {
                title,
                measure: "ms a batch",
                series: series(&|it| Some(it.wall_millis.median)),
                floor: floor.map(f64::from),
            };
            let memory = Panel {
                title,
                measure: "MB at most",
                series: series(&Measurement::peak_megabytes),
                floor: None,
            };
            for (panel, area) in [wall, memory].iter().zip(areas) {
                panel.draw(area)?;
            }
        }
        root.present()?;
        drop((root, areas));
        Ok(svg)
    }
}

impl Panel<'_> {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> anyhow::Result<()> {
        let points = || self.series.values().flatten();
        let across = powers_of_ten(points().map(|point| point.0));
        let up = powers_of_ten(points().map(|point| point.1).chain(self.floor));
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 14))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(across.clone().log_scale(), up.log_scale())?;
        let tick = |value: &f64| value.to_string();
        chart
            .configure_mesh()
            .x_desc("records a batch")
            .y_desc(self.measure)
            .x_label_formatter(&tick)
            .y_label_formatter(&tick)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let floor = self.floor.map(|it| vec![(across.start, it), (across.end, it)]);
        let floor = floor.iter().map(|line| ("two requests", line, FLOOR_COLOUR, 0));
        let programs = self.series.iter().zip(COLOURS.into_iter().cycle());
        let programs = programs.map(|((program, points), colour)| (*program, points, colour, 3));
        for (name, points, colour, radius) in floor.chain(programs) {
            let style = colour.stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            if radius > 0 {
                let circle = |&point| Circle::new(point, radius, colour.filled());
                chart.draw_series(points.iter().map(circle))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font((FONT, 11))
            .background_style(WHITE.mix(0.8))
            .draw()?;
        Ok(())
    }
}

/// The least range between powers of ten that has these values.
fn powers_of_ten(values: impl Iterator<Item = f64>) -> Range<f64> {
    let logarithms: Vec<_> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
    let first = logarithms.iter().copied().reduce(f64::min).map_or(0.0, f64::floor);
    let last = logarithms.iter().copied().reduce(f64::max).map_or(1.0, f64::ceil).max(first + 1.0);
    10_f64.powf(first)..10_f64.powf(last)
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
            let svg = Report { rounds: 1, mix, is_standard: true, measurements }.to_svg().unwrap();
            let tags = tags(&svg).unwrap();
            let count = |name: &str| tags.iter().filter(|tag| *tag == name).count();
            let circles = panels * programs.len() * records.len();
            assert_eq!((count("svg"), count("circle")), (1, circles));
            for state in states {
                let title = format!("appian, {state}, 15 ms a request");
                let texts = [&title, "records a batch", "ms a batch", "MB at most", "two requests"];
                assert!(texts.iter().all(|text| svg.contains(text)), "{svg}");
            }
        }

        check(&[], &[], &[], 0);
        check(&[State::Existing], &[500], &["sink"], 4);
        check(&[State::New, State::Mixed], &[1, 10, 10_000], &["sink", "naive"], 8);
    }
}
