use resvg::tiny_skia::Pixmap;

use super::*;

fn demo() -> Figure {
    let epochs = || (0..60).map(f64::from);
    let curve = |rate: f64, floor: f64| -> Vec<(f64, f64)> {
        epochs().map(|e| (e, floor + (0.9 - floor) * (-e * rate).exp() + 0.01 * (e * 1.7).sin())).collect()
    };
    let mean = curve(0.08, 0.05);
    let band = mean.iter().map(|(e, v)| (v - 0.03 - 0.001 * e, v + 0.03 + 0.001 * e)).collect();
    let training = Panel::new("epoch", "test error")
        .title("Training")
        .series(Series::new("oscillation, mean of 5 seeds", Mark::Line, mean).band(band))
        .line("backpropagation", curve(0.12, 0.03))
        .dashed("chance", vec![(0.0, 0.9), (59.0, 0.9)]);

    let periods = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0];
    let pairs = |error: [f64; 6]| periods.into_iter().zip(error).collect::<Vec<_>>();
    let real = pairs([3.9e-1, 1.4e-1, 4.1e-2, 1.06e-2, 2.68e-3, 6.73e-4]);
    let bars = real.iter().map(|(_, e)| (e / 1.6, e * 1.6)).collect();
    let error = Panel::new("period T (τ)", "relative gradient error")
        .title("Bias of the estimate")
        .log_x()
        .log_y()
        .series(Series::new("Re, one period", Mark::Points, real).error_bars(bars))
        .points("Richardson (T, 2T)", pairs([6.2e-2, 6.6e-3, 4.9e-4, 3.2e-5, 2.0e-6, 1.3e-7]))
        .series(
            Series::new("slope −2", Mark::Dashed, periods.map(|t| (t, 68.0 / (t * t))).to_vec()).in_black(),
        )
        .series(
            Series::new("slope −4", Mark::Dotted, periods.map(|t| (t, 1300.0 / t.powi(4))).to_vec())
                .in_black(),
        );

    let mut orbits = Panel::new("Re u", "Im u").title("Orbits").equal_aspect();
    for neuron in 0..5_u32 {
        let (r, centre) = (0.12 + 0.05 * f64::from(neuron), 0.35 * f64::from(neuron) - 0.7);
        let orbit = (0..=200).map(|k| {
            let t = f64::from(k) * std::f64::consts::TAU / 200.0;
            (centre + r * t.cos() + 0.2 * r * (2.0 * t).cos(), r * t.sin() + 0.2 * r * (2.0 * t).sin())
        });
        orbits = orbits.line(format!("neuron {}", neuron + 1), orbit.collect());
    }

    let (rows, columns) = (60, 80);
    let values = (0..rows * columns).map(|i| {
        let (x, y) = ((i % columns) as f64 / 20.0 - 1.975, (i / columns) as f64 / 20.0 - 1.475);
        if x * x + (y - 1.2) * (y - 1.2) < 0.02 { f64::NAN } else { ((x * x + y * y) / 2.0).exp() * 1e-3 }
    });
    let map =
        HeatMap::new((rows, columns), values.collect(), (-2.0, 2.0), (-1.5, 1.5), "|du/dβ|").log_colour();
    let map = Panel::new("Re β", "Im β")
        .title("Radius of convergence")
        .heat_map(map)
        .equal_aspect()
        .series(Series::circle("|β| = 0.5", (0.0, 0.0), 0.5).colour(1))
        .series(Series::new("poles", Mark::Points, vec![(1.2, 0.7), (1.2, -0.7)]).in_black());

    let spectrum = Panel::new("harmonic k", "|cₖ|").log_y().stems(
        "u, layer h1",
        (-6..=10)
            .map(|k| (f64::from(k), if k < 0 { 2e-9 } else { 10_f64.powf(-0.9 * f64::from(k)) }))
            .collect(),
    );
    let trace = |phase: f64| -> Vec<(f64, f64)> {
        (0..2000)
            .map(|i| f64::from(i) / 50.0)
            .map(|t| (t, 3e-5 * (t * 0.6 + phase).sin() * (-t / 30.0).exp()))
            .collect()
    };
    let traces = Panel::new("time (τ)", "error signal").line("Re", trace(1.6)).line("Im", trace(0.0));
    Figure::new()
        .title("Learning by holomorphic equilibrium propagation")
        .panel(training)
        .panel(error)
        .panel(orbits)
        .panel(map)
        .panel(spectrum)
        .panel(traces)
}

#[test]
fn labels_letters_and_ticks_are_in_the_svg() {
    let svg = demo().svg(&Print::default()).unwrap();
    let texts: Vec<&str> = svg.lines().collect();
    for text in [
        "epoch",
        "test error",
        "chance",
        "relative gradient error",
        "10⁻²",
        "slope −2",
        "Im β",
        "|du/dβ|",
        "f",
        "×10⁻⁵",
        "Learning by holomorphic equilibrium propagation",
    ] {
        assert!(texts.contains(&text), "{text} is missing");
    }
}

#[test]
fn the_same_description_gives_the_same_bytes() {
    let (first, second) = (demo().svg(&Print::default()).unwrap(), demo().svg(&Print::default()).unwrap());
    assert!(first == second);
    assert!(png::render(&first).unwrap() == png::render(&second).unwrap());
}

#[test]
fn the_files_hold_the_figure_at_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let figure = demo();
    let print = Print { formats: vec![Format::Svg, Format::Png, Format::Pdf], ..Print::default() };
    let paths = figure.write(&folder.path().join("figures"), "demo", &print).unwrap();
    assert_eq!(paths[0].file_name().unwrap(), "demo.svg");
    let svg = std::fs::read_to_string(&paths[0]).unwrap();
    assert_eq!(svg, figure.svg(&Print::default()).unwrap());
    assert!(svg.contains("width=\"183mm\""));
    let pixmap = Pixmap::load_png(&paths[1]).unwrap();
    // 183 mm at 300 dots per inch, which the file says.
    assert_eq!(pixmap.width(), 2161);
    let file = std::io::BufReader::new(std::fs::File::open(&paths[1]).unwrap());
    let reader = ::png::Decoder::new(file).read_info().unwrap();
    let resolution = reader.info().pixel_dims.unwrap();
    assert_eq!((resolution.xppu, resolution.yppu, resolution.unit), (11_811, 11_811, ::png::Unit::Meter));
    let pdf = std::fs::read(&paths[2]).unwrap();
    assert!(pdf.starts_with(b"%PDF-"));
    // 183 mm are 518.7 points.
    assert!(String::from_utf8_lossy(&pdf).contains("/MediaBox[0 0 518.7"));
    let dark = pixmap.pixels().iter().filter(|p| p.red() < 128 && p.green() < 128).count();
    assert!(dark > 5_000, "{dark} dark pixels");
    // Nothing half-written is left.
    assert_eq!(std::fs::read_dir(folder.path().join("figures")).unwrap().count(), 3);
}

/// Letters are shapes in the PNG, hence the embedded font was found: a label adds ink.
#[test]
fn text_is_rendered_without_system_fonts() {
    let ink = |label: &str| {
        let svg = Figure::new().panel(Panel::new(label, "")).svg(&Print::default()).unwrap();
        let pixmap = Pixmap::decode_png(&png::render(&svg).unwrap()).unwrap();
        pixmap.pixels().iter().map(|p| 255 - usize::from(p.green())).sum::<usize>()
    };
    assert!(ink("ξ⁻³ MMMMMMMM") > ink("") + 50_000);
}

#[test]
fn the_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let error = demo().write(&file, "demo", &Print::default()).unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
}

#[test]
fn zeros_on_a_logarithmic_axis_interrupt_the_line() {
    let points = vec![(1.0, 1.0), (2.0, 0.5), (3.0, 0.0), (4.0, f64::NAN), (5.0, 0.1), (6.0, 0.01)];
    let band = points.iter().map(|p| (p.1 - 0.2, p.1 + 0.2)).collect();
    let panel = Panel::new("x", "y").log_y().series(Series::new("", Mark::Line, points).band(band));
    let svg = Figure::new().panel(panel).svg(&Print::default()).unwrap();
    let curves = svg.lines().filter(|l| l.starts_with("<polyline") && l.contains("#0072B2")).count();
    assert_eq!(curves, 2);
    // The band stays where the line is zero, and ends at what is not a number.
    assert_eq!(svg.lines().filter(|l| l.starts_with("<polygon") && l.contains("#0072B2")).count(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn an_empty_panel_says_so() {
    let empty = [
        Panel::new("x", "y"),
        Panel::new("x", "y").log_y().line("never positive", vec![(1.0, 0.0), (2.0, -1.0)]),
        Panel::new("x", "y").heat_map(HeatMap::new((0, 0), Vec::new(), (0.0, 1.0), (0.0, 1.0), "z")),
        Panel::default(),
    ];
    for panel in empty {
        assert!(Figure::new().panel(panel).svg(&Print::default()).unwrap().contains("no data"));
    }
    assert!(Figure::new().svg(&Print::default()).unwrap().contains("no data"));
}

#[test]
fn awkward_numbers_are_drawn() {
    let cases = [
        vec![(1.0, 1.0)],
        vec![(0.0, 3.0), (1.0, 3.0)],
        vec![(0.0, 0.0), (0.0, 0.0)],
        vec![(1.0, 1e-280), (2.0, 1e280)],
        vec![(-1e289, f64::INFINITY), (1e289, f64::MAX), (0.0, 1.0)],
        vec![(1e15, 1e9), (1e15 + 1.0, 1e9 + 1e-6)],
    ];
    for points in cases {
        for mark in [Mark::Line, Mark::Dotted, Mark::LinePoints, Mark::Stems] {
            let panel = Panel::new("x", "y").series(Series::new("label", mark, points.clone()));
            let panels = [panel.clone(), panel.clone().log_x(), panel.clone().log_y(), panel.equal_aspect()];
            for panel in panels {
                let svg = Figure::new().panel(panel).svg(&Print::default()).unwrap();
                assert!(
                    !svg.contains("no data") || points.iter().any(|p| p.0 <= 0.0 || p.1 <= 0.0),
                    "{points:?}"
                );
                png::render(&svg).unwrap();
            }
        }
    }
}

#[test]
fn unusable_sizes_are_refused() {
    let panel = || Panel::new("x", "y");
    assert!(Figure::new().panel(panel()).panel_size(0, 300).svg(&Print::default()).is_err());
    assert!(Figure::new().panel(panel()).panel_size(u32::MAX, 300).svg(&Print::default()).is_err());
    assert!(Figure::new().panel(panel()).columns(0).svg(&Print::default()).is_ok());
    // More names than room: the figure is ugly, but it is drawn.
    let crowded = (0..30).fold(panel().equal_aspect().title("crowded"), |panel, k| {
        panel.line(format!("a series with a long name, {k}"), vec![(0.0, f64::from(k)), (1e9, 1.0)])
    });
    let svg = Figure::new().panel(crowded).panel_size(160, 120).svg(&Print::default()).unwrap();
    png::render(&svg).unwrap();
}

#[test]
fn a_heat_map_is_one_image() {
    let map = HeatMap::new((300, 300), vec![0.5; 90_000], (0.0, 1.0), (0.0, 1.0), "z");
    let svg = Figure::new().panel(Panel::new("x", "y").heat_map(map)).svg(&Print::default()).unwrap();
    assert_eq!(svg.matches("<image").count(), 2, "the map and its colour bar");
    assert!(svg.len() < 20_000);
}

/// The numbers that follow `name="` in the document.
fn numbers(svg: &str, name: &str) -> Vec<f64> {
    let name = format!(" {name}=\"");
    let after = svg.split(&name).skip(1);
    after.map(|rest| rest.split(['"', 'm']).next().unwrap().parse().unwrap()).collect()
}

#[test]
fn no_letter_is_smaller_than_six_points_in_print() {
    let mut crowded = demo();
    let long =
        "a label of so many words that no panel has room for them side by side in one line of any size";
    for panel in &mut crowded.panels {
        (panel.x.label, panel.y.label, panel.title) = (long.into(), long.into(), Some(long.into()));
    }
    crowded = crowded.note(long).title(long);
    for figure in [demo(), demo().columns(3), crowded] {
        for width in [89.0, 120.0, 183.0] {
            let svg = figure.svg(&Print { width: Some(width), ..Print::default() }).unwrap();
            let wide: f64 =
                svg.split("viewBox=\"0 0 ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            let points = numbers(&svg, "width")[0] * 72.0 / 25.4;
            assert_eq!(numbers(&svg, "width")[0], width);
            let smallest = numbers(&svg, "font-size").into_iter().fold(f64::INFINITY, f64::min);
            assert!(smallest * points / wide >= 5.99, "{} pt at {width} mm", smallest * points / wide);
        }
    }
}

#[test]
fn what_does_not_fit_beside_each_other_stands_below() {
    let rows = |width| {
        let svg = demo().svg(&Print { width: Some(width), ..Print::default() }).unwrap();
        numbers(&svg, "height")[0]
    };
    assert!(rows(89.0) > 1.2 * rows(183.0), "{} {}", rows(89.0), rows(183.0));
}

#[test]
fn panels_of_a_group_show_the_same_range() {
    let panel = |high: f64| Panel::new("x", "y").line("", vec![(0.0, 0.0), (1.0, high)]);
    let ticks = |group: Option<usize>| {
        let panels = [2.0, 10.0].map(|high| Panel { y: Axis { group, ..panel(high).y }, ..panel(high) });
        let svg = panels.into_iter().fold(Figure::new(), Figure::panel).svg(&Print::default()).unwrap();
        svg.lines().filter(|line| *line == "10").count()
    };
    assert_eq!((ticks(None), ticks(Some(0))), (1, 2));
}

#[test]
fn categories_are_named_under_their_places() {
    let names = ["ideal", "RRAM (Wan)", "learnt on the device"].map(ToOwned::to_owned).to_vec();
    for width in [89.0, 183.0] {
        let panel = Panel::new("device", "y").points("", vec![(1.0, 1.0), (3.0, 2.0)]).x_names(names.clone());
        let svg = Figure::new().panel(panel).svg(&Print { width: Some(width), ..Print::default() }).unwrap();
        assert!(svg.lines().any(|line| line == "ideal") && svg.contains("(Wan)"), "{svg}");
        assert!(!svg.lines().any(|line| line == "1"));
    }
    // Where there is no room side by side they rise.
    let names: Vec<String> = (0..12).map(|k| format!("a-rather-long-name-{k}")).collect();
    let panel = Panel::new("device", "y").points("", vec![(1.0, 1.0)]).x_names(names);
    let svg = Figure::new().panel(panel).svg(&Print::default()).unwrap();
    assert_eq!(svg.matches("rotate(-40").count(), 12);
}

#[test]
fn what_has_no_value_stands_outside_the_frame() {
    let panel = |aside: Option<Aside>| Panel {
        aside,
        ..Panel::new("x", "y").points("ours", vec![(1.0, 1.0), (2.0, 2.0)])
    };
    let row = AsideRow { colour: 0, mark: Mark::Points, items: vec![(5.0, "2/5".into())] };
    let aside = Aside { label: "diverged".into(), rows: vec![row] };
    let drawn = |panel: Panel| Figure::new().panel(panel).svg(&Print::default()).unwrap();
    let (with, without) = (drawn(panel(Some(aside))), drawn(panel(None)));
    assert!(with.lines().any(|line| line == "diverged") && with.lines().any(|line| line == "2/5"));
    // The band makes the figure longer, and the axis reaches as far as it does; the range of y stays.
    assert!(numbers(&with, "height")[0] > numbers(&without, "height")[0] + 2.0);
    assert!(with.lines().any(|line| line == "5") && !without.lines().any(|line| line == "5"));
    let ticks =
        |svg: &str| svg.lines().filter(|line| line.parse::<f64>().is_ok() && line.contains('.')).count();
    assert_eq!(ticks(&with), ticks(&without));
}

#[test]
fn series_of_one_name_share_an_entry_that_shows_what_is_drawn() {
    let series = |colour| Series::new("published", Mark::Open, vec![(1.0, f64::from(colour))]);
    let panel = (0..3_u8)
        .fold(Panel::new("x", "y"), |panel, colour| panel.series(series(colour).colour(colour.into())));
    let entries = legend::entries(&panel);
    assert_eq!(entries.len(), 1);
    let svg = Figure::new().panel(panel.clone()).svg(&Print::default()).unwrap();
    assert_eq!(svg.lines().filter(|line| *line == "published").count(), 1);
    // Each marker once as data, once in the legend, both in their colour; a legend like the one before is not repeated.
    for colour in ["#0072B2", "#D55E00", "#009E73"] {
        assert_eq!(svg.lines().filter(|line| line.contains(colour)).count(), 2, "{colour}");
    }
    let twice = Figure::new().panel(panel.clone()).panel(panel).svg(&Print::default()).unwrap();
    assert_eq!(twice.lines().filter(|line| *line == "published").count(), 1);
}
