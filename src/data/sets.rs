//! Sets of images that come as files: what each is, and how it is read, whatever the form of its files.

use std::path::{Path, PathBuf};

use super::files::{Found, ImageFiles, Lookup, locate};
use super::images::{Images, Normalise};
use super::unpacked::refused;
use super::{Dataset, Shape, Split, cifar, mnist};
use crate::Result;
use crate::host::machine;

/// Which part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Test,
}

impl Part {
    pub(super) fn told(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Test => "test",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// A set of images of one shape.
pub(super) struct ImageSet {
    /// As in an experiment, and in messages.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Height, width and channels.
    pub(super) shape: [usize; 3],
    pub(super) classes: usize,
    /// Mean and deviation of its pixels by channel, where they are usually normalised.
    pub(super) normalise: Option<([f64; 3], [f64; 3])>,
    /// Folders that hold it, below a folder of data sets.
    pub(super) folders: &'static [&'static str],
    pub(super) forms: &'static [Distribution],
    /// The files, in words, and commands that fetch them.
    pub(super) looked_for: &'static str,
    pub(super) fetch: &'static str,
    /// The labels that its training and its test part start with, where they are known.
    pub(super) heads: Option<[[u32; 10]; 2]>,
    /// Sums of the publishers' pickles or MATLAB files, where they are known.
    pub(super) published: Option<Publication>,
}

/// What is known of the publishers' files of the training and of the test images.
pub(super) struct Publication {
    /// Images of each file.
    pub(super) images: [usize; 2],
    /// MD5 sums of the files, in their order.
    pub(super) md5: [&'static [&'static str]; 2],
}

/// A form in which a set is distributed.
pub(super) struct Distribution {
    /// Training and test files, each with the names that it goes by.
    pub(super) train: &'static [&'static [&'static str]],
    pub(super) test: &'static [&'static [&'static str]],
    /// Whether the training files hold one part each, so that the first may stand for all.
    pub(super) series: bool,
    /// Opens the files of a part.
    pub(super) open: fn(&'static ImageSet, Part, &[PathBuf]) -> Result<Opened>,
}

/// The files of a part, in the order of its images.
pub(super) type Opened = Vec<Box<dyn Records>>;

/// Labelled images in one file, or in a file for images and one for labels.
pub(super) trait Records {
    /// The file that holds the images.
    fn file(&self) -> &Path;

    /// The file that holds the labels.
    fn labels_file(&self) -> &Path {
        self.file()
    }

    /// How many images it announces.
    fn count(&self) -> usize;

    /// Appends the first `count` images, [height, width, channels], and their labels.
    fn read(&mut self, count: usize, into: &mut Content) -> Result<()>;
}

/// Labelled images in memory.
#[derive(Default)]
pub(super) struct Content {
    pub(super) pixels: Vec<u8>,
    pub(super) labels: Vec<u32>,
}

impl Content {
    /// Room for so many images of `size` bytes; `of` is the file or folder that asks for them.
    pub(super) fn with_room(count: usize, size: usize, of: &Path) -> Result<Self> {
        let needed = count as u128 * size as u128;
        let mut content = Self::default();
        let room = needed <= u128::from(machine::memory())
            && content.pixels.try_reserve_exact(count * size).is_ok()
            && content.labels.try_reserve_exact(count).is_ok();
        if room {
            return Ok(content);
        }
        let found = format!("its {count} images take {} of memory", machine::bytes(needed as f64));
        let most = machine::bytes(machine::memory() as f64);
        let legal =
            format!("this process may take {most}: use fewer of them, by `train` and `test` of the data");
        Err(refused(of, found, legal))
    }
}

impl ImageSet {
    pub(super) fn shape(&self) -> Shape {
        Shape { inputs: self.shape.iter().product(), image: Some(self.shape), classes: self.classes }
    }

    /// How many samples there are to learn from and for the test, without reading them.
    pub(super) fn counts(&'static self, settings: &ImageFiles, lookup: &Lookup) -> Result<(usize, usize)> {
        let found = locate(self, settings, lookup)?;
        let count = |part, files: &[PathBuf], limit: Option<usize>| {
            let all = total(&(found.form.open)(self, part, files)?);
            Ok(limit.map_or(all, |limit| limit.min(all)))
        };
        Ok((
            count(Part::Train, &found.train, settings.train)?,
            count(Part::Test, &found.test, settings.test)?,
        ))
    }

    pub(super) fn load(&'static self, settings: &ImageFiles, lookup: &Lookup) -> Result<Split> {
        self.read(settings, locate(self, settings, lookup)?)
    }

    fn read(&'static self, settings: &ImageFiles, found: Found) -> Result<Split> {
        let part = |part, files, limit| self.part(&found, part, files, limit);
        let (train, test) = rayon::join(
            || part(Part::Train, &found.train, settings.train),
            || part(Part::Test, &found.test, settings.test),
        );
        let ((train, mut files), (test, more)) = (train?, test?);
        files.extend(more);
        refuse_equal_files(&files, [&train, &test], self.shape.iter().product())?;
        let augment = settings.augment;
        Ok(Split {
            train: self.dataset(train, settings, augment),
            test: self.dataset(test, settings, None),
            folder: Some(found.folder),
        })
    }

    /// A part, and how much of it each file holds.
    fn part(
        &'static self,
        found: &Found,
        part: Part,
        files: &[PathBuf],
        limit: Option<usize>,
    ) -> Result<(Content, Vec<(PathBuf, usize)>)> {
        let mut records = (found.form.open)(self, part, files)?;
        let all = total(&records);
        let of = if records.len() == 1 { records[0].file().to_owned() } else { found.folder.clone() };
        let count = limited(all, limit, part, &of)?;
        let mut content = Content::with_room(count, self.shape.iter().product(), &of)?;
        let mut counts = Vec::new();
        for records in &mut records {
            let take = records.count().min(count - content.labels.len());
            if take > 0 {
                records.read(take, &mut content)?;
                counts.push((records.file().to_owned(), take));
            }
        }
        self.check_identity(records[0].labels_file(), &content.labels, part)?;
        Ok((content, counts))
    }

    /// Refuses labels that are known to be another part's or another set's.
    fn check_identity(&self, file: &Path, labels: &[u32], part: Part) -> Result<()> {
        for other in [&mnist::MNIST, &mnist::FASHION_MNIST, &cifar::CIFAR10, &cifar::CIFAR100] {
            let heads = other.heads.iter().flatten().zip([Part::Train, Part::Test]);
            for (head, other_part) in heads {
                if labels.starts_with(head) && (other.name, other_part) != (self.name, part) {
                    let found = format!("it starts like the {} labels of {}", other_part.told(), other.title);
                    let legal = format!(
                        "the {} labels of {} are needed; are two files swapped?",
                        part.told(),
                        self.title
                    );
                    return Err(refused(file, found, legal));
                }
            }
        }
        Ok(())
    }

    fn dataset(&self, content: Content, settings: &ImageFiles, augment: Option<super::Augment>) -> Dataset {
        let channels = self.shape[2];
        let usual = || match self.normalise {
            Some((mean, std)) => Normalise::of(&mean, &std),
            None => Normalise::of(&vec![0.0; channels], &vec![1.0; channels]),
        };
        let normalise = settings.normalise.clone().unwrap_or_else(usual);
        let images = Images { pixels: content.pixels, shape: self.shape, normalise, augment };
        Dataset::of_images(images, content.labels, self.classes, self.name)
    }
}

fn total(records: &[Box<dyn Records>]) -> usize {
    records.iter().map(|records| records.count()).sum()
}

/// How many of so many images are used.
pub(super) fn limited(all: usize, limit: Option<usize>, part: Part, of: &Path) -> Result<usize> {
    if all == 0 {
        return Err(refused(of, "it holds no image", "fetch it again"));
    }
    match limit {
        Some(asked) if asked > all => {
            let legal = format!("`{}` of the data asks for {asked}", part.setting());
            Err(refused(of, format!("it holds {all} images"), legal))
        }
        limit => Ok(limit.unwrap_or(all)),
    }
}

/// Refuses a file that holds what another one holds, under another name.
fn refuse_equal_files(files: &[(PathBuf, usize)], parts: [&Content; 2], size: usize) -> Result<()> {
    let mut pieces: Vec<(&Path, &[u32], &[u8])> = Vec::new();
    let (mut part, mut at) = (0, 0);
    for (file, count) in files {
        if at == parts[part].labels.len() {
            (part, at) = (1, 0);
        }
        let Content { pixels, labels } = parts[part];
        let piece = (file.as_path(), &labels[at..at + count], &pixels[at * size..(at + count) * size]);
        let equal = pieces.iter().find(|other| (other.1, other.2) == (piece.1, piece.2));
        if let Some((other, ..)) = equal {
            let found = format!("it holds the same images as {}", other.display());
            return Err(refused(file, found, "each file holds other images: fetch it again"));
        }
        pieces.push(piece);
        at += count;
    }
    Ok(())
}

/// Appends images of which `planes` holds a plane for each channel, row by row.
pub(super) fn append_planes(planes: &[u8], [height, width, channels]: [usize; 3], into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + planes.len(), 0);
    let size = height * width * channels;
    for (image, into) in planes.chunks_exact(size).zip(into[start..].chunks_exact_mut(size)) {
        for (channel, plane) in image.chunks_exact(height * width).enumerate() {
            let places = into.iter_mut().skip(channel).step_by(channels);
            places.zip(plane).for_each(|(into, byte)| *into = *byte);
        }
    }
}
