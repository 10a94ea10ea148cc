//! `tombola run`

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ndarray::{Array2, s};
use rayon::ThreadPoolBuilder;
use tombola::io::{SampleReader, SampleWriter};

use crate::input::{Input, batch_size, spare};
use crate::{Failure, interrupt};

/// What takes less time needs no progress bar.
const LONG: Duration = Duration::from_millis(500);

/// Run a model on samples.
///
/// Input and output are .npy files, [samples, features], and are read and written batch by batch: they may be larger
/// than memory. Further dimensions of the input are features, too: images [n, 28, 28] have 784. Samples are taken as
/// they are: they must be scaled as those were that the model was trained on.
#[derive(Args)]
#[command(after_help = "Examples:
  tombola run ticket.safetensors images.npy -o logits.npy
  tombola run ticket.safetensors images.npy -o logits.npy --batch 1024 --threads 4
  python make_images.py | tombola run ticket.safetensors - -o - | python look_at_logits.py")]
pub(crate) struct Run {
    #[command(flatten)]
    input: Input,
    /// The samples, a .npy file of any dtype of numbers; - is stdin.
    #[arg(value_name = "INPUT.npy")]
    samples: PathBuf,
    /// The outputs, a .npy file of f32; - is stdout. It is written beside its place and moved there: whole, or not at
    /// all.
    #[arg(short, long, value_name = "OUTPUT.npy")]
    output: PathBuf,
    /// Samples at a time.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = batch_size())]
    batch: u32,
    /// Threads. The output does not depend on their number.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
}

impl Run {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let stdio = Path::new("-");
        if self.output != stdio {
            self.input.spare(&self.output)?;
            spare(&self.samples, &self.output)?;
        }
        let mlp = self.input.read()?.mlp;
        let (mut samples, name) = match self.samples == stdio {
            true => (SampleReader::new(io::stdin(), "stdin")?, "stdin".to_owned()),
            false => (SampleReader::open(&self.samples)?, self.samples.display().to_string()),
        };
        if samples.features() != mlp.inputs() {
            return Err(Failure::contents(format!(
                "{name}: expected samples of {} features, the inputs of {}, found {}",
                mlp.inputs(),
                self.input.input.display(),
                samples.features()
            )));
        }
        let shape = [samples.samples(), mlp.outputs()];
        let mut outputs = match self.output == stdio {
            true => SampleWriter::new(io::stdout(), "stdout", shape)?,
            false => SampleWriter::create(&self.output, shape)?,
        };
        if let Some(draft) = outputs.draft() {
            interrupt::remove_when_stopped(draft.to_owned())?;
        }

        let pool = ThreadPoolBuilder::new().num_threads(self.threads as usize).build();
        let pool = pool.map_err(|error| Failure::usage(format!("--threads: {error}")))?;
        let batch = (self.batch as usize).min(samples.samples().max(1));
        let mut x = Array2::zeros((batch, mlp.inputs()));
        let mut y = Array2::zeros((batch, mlp.outputs()));
        let mut workspace = pool.install(|| mlp.parallel_workspace(batch));
        let bar = bar(samples.samples());
        loop {
            let count = samples.read(x.view_mut())?;
            if count == 0 {
                break;
            }
            let (x, mut y) = (x.slice(s![..count, ..]), y.slice_mut(s![..count, ..]));
            pool.install(|| mlp.forward_into(x, y.view_mut(), &mut workspace))?;
            outputs.write(y.view())?;
            bar.inc(count as u64);
            if bar.is_hidden() && bar.elapsed() > LONG {
                // Shows nothing where there is no terminal.
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
        outputs.finish()?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// A bar that waits to be shown.
fn bar(samples: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} samples, {per_sec}, {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(samples as u64), ProgressDrawTarget::hidden()).with_style(style)
}
