//! QR codes, read back by a decoder: the one on a page, and the one on a terminal.

use rqrr::PreparedImage;

use crate::support::{Instance, Store};

/// Each module as so many pixels: the decoder looks for shapes, not for bits.
const PIXELS: usize = 4;

/// What a grid of modules says.
fn decoded(width: usize, height: usize, dark: impl Fn(usize, usize) -> bool) -> String {
    let shade = |x: usize, y: usize| if dark(x / PIXELS, y / PIXELS) { 0 } else { 255 };
    let mut image = PreparedImage::prepare_from_greyscale(width * PIXELS, height * PIXELS, shade);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code");
    grids[0].decode().expect("a code").1
}

/// The modules of the image that the instance makes: runs `Mx y.5hlength` in one path.
fn of_svg(svg: &str) -> String {
    let side: usize =
        svg.split("viewBox=\"0 0 ").nth(1).and_then(|s| s.split(' ').next()?.parse().ok()).expect("a side");
    let path = svg.split(" d=\"").nth(1).and_then(|s| s.split('"').next()).expect("a path");
    let mut grid = vec![false; side * side];
    for run in path.split('M').filter(|run| !run.is_empty()) {
        let (at, length) = run.split_once('h').expect("a run");
        let (x, y) = at.split_once(' ').expect("a place");
        let (x, y): (usize, usize) = (x.parse().unwrap(), y.strip_suffix(".5").unwrap().parse().unwrap());
        let start = y * side + x;
        grid[start..start + length.parse::<usize>().unwrap()].fill(true);
    }
    decoded(side, side, |x, y| grid[y * side + x])
}

/// The modules of what is printed without colours, two rows in each line of half blocks: what is drawn is light.
pub(crate) fn of_terminal(text: &str) -> String {
    let blocks = |line: &&str| line.chars().count() > 20 && line.chars().all(|c| " █▀▄".contains(c));
    let lines: Vec<Vec<char>> = text.lines().filter(blocks).map(|line| line.chars().collect()).collect();
    let width = lines.first().expect("lines").len();
    decoded(width, lines.len() * 2, |x, y| {
        let drawn = lines[y / 2][x];
        drawn != '█' && drawn != if y % 2 == 0 { '▀' } else { '▄' }
    })
}

#[test]
fn the_codes_of_an_invite_are_its_link() {
    let instance = Instance::start(Store::Memory);
    let answer = instance.spl_as_admin(&["invite", "create", "-o", "json"]).ok().json();
    let link = answer["redirect_url"].as_str().expect("a link");
    assert_eq!(of_svg(answer["qr_svg"].as_str().expect("an image")), link);
    assert_eq!(answer["qr_payload"], link);
    let shown = instance.spl_as_admin(&["invite", "create", "--qr"]).ok();
    let (link, code) = shown.stdout.split_once('\n').expect("a line");
    assert_eq!(of_terminal(code), link);
}
