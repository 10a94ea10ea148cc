//! A report in a folder.

use std::fs;
use std::path::Path;

use super::page::{last_round, percent};
use super::{Chart, Recorded, Report, picture};
use crate::experiment::Run;
use crate::io::{Import, Model, state};
use crate::{Error, ErrorKind, Mask, Result, csr};

const OPERATION: &str = "Report::write";

/// Of which masks there are pictures in a report, and what image an input is.
///
/// The masks are those of the first trial. Without wishes they are of its last round and of one in the middle, and an
/// input layer whose count of inputs is a square has square images.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    rounds: Vec<usize>,
    image: Option<(usize, usize)>,
}

impl Pictures {
    /// No wishes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rounds of pruning.
    #[must_use]
    pub fn rounds(mut self, rounds: impl IntoIterator<Item = usize>) -> Self {
        self.rounds = rounds.into_iter().collect();
        self.rounds.sort_unstable();
        self.rounds.dedup();
        self
    }

    /// Width and height of the images that the network looks at.
    #[must_use]
    pub fn image(mut self, width: usize, height: usize) -> Self {
        self.image = Some((width, height));
        self
    }

    /// The rounds, and whether they are a wish.
    fn chosen(&self, trial: &Recorded) -> (Vec<usize>, bool) {
        let last = last_round(trial).unwrap_or(0);
        let mut rounds = vec![last.div_ceil(2), last];
        rounds.dedup();
        // The mask of the dense network is no picture.
        rounds.retain(|&round| round > 0);
        if self.rounds.is_empty() { (rounds, false) } else { (self.rounds.clone(), true) }
    }
}

/// The files of a report and the text that shows them, before any is written.
#[derive(Default)]
struct Files {
    files: Vec<(String, Vec<u8>)>,
    page: String,
    left_out: Vec<String>,
}

impl Report {
    /// Writes the report to a folder, which is made if it is not there: `report.md`, `report.json`, the [charts](Chart)
    /// as SVG and PNG, and pictures of masks as PNG. Each file appears whole or not at all, `report.md` last, and none
    /// before all could be made; files of the same names are replaced, others stay.
    ///
    /// Returns sentences on what is left out for want of data; they are in `report.md`, too.
    ///
    /// # Errors
    /// When a round that `pictures` asks for has no ticket that can be read, a ticket is broken or not what the trial
    /// says that it is, the images have another count of pixels than the network of inputs, or a file cannot be
    /// written.
    pub fn write(&self, folder: impl AsRef<Path>, pictures: &Pictures) -> Result<Vec<String>> {
        let folder = folder.as_ref();
        let mut files = Files::default();
        self.draw_charts(&mut files)?;
        self.draw_masks(pictures, &mut files)?;
        let Files { mut files, page, left_out } = files;
        let mut text = self.to_markdown() + &page;
        left_out.iter().for_each(|sentence| text += &format!("\nLeft out: {sentence}.\n"));
        files.push(("report.json".to_owned(), self.to_json().into_bytes()));
        files.push(("report.md".to_owned(), text.into_bytes()));
        fs::create_dir_all(folder).map_err(|source| {
            let expected = "a folder that can be made";
            Error::caused_by(ErrorKind::Io, OPERATION, folder.display().to_string(), expected, source)
        })?;
        for (name, bytes) in files {
            state::write_bytes(&folder.join(name), &bytes)?;
        }
        Ok(left_out)
    }

    fn draw_charts(&self, files: &mut Files) -> Result<()> {
        if self.rows.is_empty() {
            files.left_out.push("charts, as no training has ended yet".to_owned());
            return Ok(());
        }
        files.page += "\n## Charts\n";
        for chart in Chart::ALL {
            let (name, svg) = (chart.name(), self.chart(chart)?);
            files.page += &format!("\n![{} against remaining weights]({name}.svg)\n", chart.title());
            files.files.push((format!("{name}.png"), picture::png(&svg)?));
            files.files.push((format!("{name}.svg"), svg.into_bytes()));
        }
        Ok(())
    }

    fn draw_masks(&self, pictures: &Pictures, files: &mut Files) -> Result<()> {
        let Some(trial) = self.trials.first() else { return Ok(()) };
        let (rounds, wished) = pictures.chosen(trial);
        if rounds.is_empty() {
            files
                .left_out
                .push(format!("pictures of masks, as seed {} has not ended a round of pruning", trial.seed));
        }
        for round in rounds {
            let path = trial.folder.join(format!("tickets/round-{round:02}.safetensors"));
            if !wished && !path.exists() {
                files.left_out.push(format!("pictures of round {round}, as there is no {}", path.display()));
                continue;
            }
            let model = Import::new().read(&path)?;
            self.draw_round(trial, round, &path, &model, pictures.image, files)?;
        }
        Ok(())
    }

    fn draw_round(
        &self,
        trial: &Recorded,
        round: usize,
        path: &Path,
        model: &Model,
        image: Option<(usize, usize)>,
        files: &mut Files,
    ) -> Result<()> {
        let masks: Vec<Mask> = model.mlp.layers().iter().map(|layer| csr::mask(layer.csr())).collect();
        let kept: Vec<usize> = masks.iter().map(Mask::kept).collect();
        if let Some(summary) = trial.summary(Run { round, control: None })
            && summary.kept != kept
        {
            let expected = format!("layers that keep {:?} weights, as rounds.jsonl says", summary.kept);
            let found = format!("{kept:?}");
            return Err(Error::new(
                ErrorKind::Format,
                OPERATION,
                path.display().to_string(),
                expected,
                found,
            ));
        }
        let all: usize = masks.iter().map(Mask::len).sum();
        let density = percent(model.mlp.kept() as f64 / all as f64);
        files.page +=
            &format!("\n## Masks of round {round}: {density}% of the weights, seed {}\n", trial.seed);
        if let Some(mask) = masks.first() {
            let inputs = mask.shape().1;
            let side = inputs.isqrt();
            if let Some(image) = image.or((side * side == inputs).then_some((side, side))) {
                let title = format!("Kept weights per pixel, round {round} ({density}%)");
                let name = format!("footprint-round-{round:02}.png");
                files.page += &format!(
                    "\nThe footprint of the input layer: per pixel, the kept weights over all {} outputs.\n\n![{title}]({name})\n",
                    mask.shape().0
                );
                files.files.push((name, picture::footprint(mask, image, &title)?));
            }
        }
        for (layer, mask) in model.names.iter().zip(&masks) {
            let name = format!("mask-round-{round:02}-{}.png", file_name(layer));
            let (out, inputs) = mask.shape();
            files.page += &format!(
                "\n{layer}: {} of {} weights ({}%). White is kept; {out} outputs from top to bottom, {inputs} inputs from left to \
                 right.\n\n![Mask of {layer}, round {round}]({name})\n",
                mask.kept(),
                mask.len(),
                percent(mask.density())
            );
            files.files.push((name, picture::mask(mask)?));
        }
        Ok(())
    }
}

/// What of a name can stand in one of a file, and in a link to it.
fn file_name(name: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    name.chars().map(|letter| if plain(letter) { letter } else { '-' }).collect()
}
