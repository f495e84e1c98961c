//! One's own images: a folder `train` and a folder `test`, in each a folder of PNG files for every class.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use png::{ColorType, Decoder, Limits, Transformations};
use serde::{Deserialize, Serialize};

use super::files::{Lookup, check_limits, no_such_folder};
use super::images::{Augment, Images, Normalise};
use super::sets::{Content, Part, limited};
use super::unpacked::{open, refused};
use super::{Dataset, Shape, Split};
use crate::error::Invalid;
use crate::{Error, Result};

/// Pixels that an image has at most, in either direction.
const LARGEST: u32 = 4096;
/// Bytes that the decoder takes at most beside an image.
const MEMORY: usize = 1 << 26;

/// Settings of one's own images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolder {
    /// The folder of `train` and `test`, relative to the experiment file.
    pub folder: PathBuf,
    /// Use only the first so many training images, which take turns by class.
    #[serde(default)]
    pub train: Option<usize>,
    /// Use only the first so many test images, which take turns by class.
    #[serde(default)]
    pub test: Option<usize>,
    /// How pixels become inputs; without it they lie between 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// Changes to training images, drawn anew in each epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

/// The files of a part, with the class of each.
type Listed = Vec<(PathBuf, u32)>;

impl ImageFolder {
    pub(super) fn check(&self) -> std::result::Result<(), Invalid> {
        check_limits(self.train, self.test)?;
        self.normalise.as_ref().map_or(Ok(()), |n| n.check(None).map_err(|e| e.under("normalise")))
    }

    /// What the images are, from the names of the classes and the header of the first.
    pub(super) fn shape(&self, lookup: &Lookup) -> Result<Shape> {
        let (_, classes, train, _) = self.list(lookup)?;
        let shape = dimensions(&train[0].0)?;
        Ok(Shape { inputs: shape.iter().product(), image: Some(shape), classes: classes.len() })
    }

    pub(super) fn counts(&self, lookup: &Lookup) -> Result<(usize, usize)> {
        let (_, _, train, test) = self.list(lookup)?;
        let count = |all: usize, limit: Option<usize>| limit.map_or(all, |limit| limit.min(all));
        Ok((count(train.len(), self.train), count(test.len(), self.test)))
    }

    pub(super) fn load(&self, lookup: &Lookup) -> Result<Split> {
        let (folder, classes, train, test) = self.list(lookup)?;
        let shape = dimensions(&train[0].0)?;
        let settings = || -> std::result::Result<(), Invalid> {
            let normalise = self.normalise.as_ref();
            normalise.map_or(Ok(()), |n| n.check(Some(shape[2])).map_err(|e| e.under("normalise")))?;
            self.augment.map_or(Ok(()), |a| a.check(shape).map_err(|e| e.under("augment")))
        };
        settings().map_err(|e| e.under("images").under("data").in_file("experiment"))?;
        let normalise = self.normalise.clone();
        let normalise =
            normalise.unwrap_or_else(|| Normalise::of(&vec![0.0; shape[2]], &vec![1.0; shape[2]]));
        let dataset = |files: Listed, limit, part, augment| {
            let count = limited(files.len(), limit, part, &folder)?;
            let mut content = Content::with_room(count, shape.iter().product(), &folder)?;
            for (path, class) in &files[..count] {
                append(path, (shape, &train[0].0), &mut content.pixels)?;
                content.labels.push(*class);
            }
            let images = Images { pixels: content.pixels, shape, normalise: normalise.clone(), augment };
            Ok::<_, Error>(Dataset::of_images(images, content.labels, classes.len(), "images"))
        };
        Ok(Split {
            train: dataset(train.clone(), self.train, Part::Train, self.augment)?,
            test: dataset(test, self.test, Part::Test, None)?,
            folder: Some(folder.clone()),
        })
    }

    /// The folder, the names of the classes, and the files of both parts.
    fn list(&self, lookup: &Lookup) -> Result<(PathBuf, Vec<String>, Listed, Listed)> {
        let folder = lookup.folder_of_experiment.join(&self.folder);
        if !folder.is_dir() {
            return Err(no_such_folder(&folder));
        }
        let classes = names(&folder.join("train"), true)?;
        if classes.len() < 2 {
            let found = format!("found {} folders", classes.len());
            return Err(refused(&folder.join("train"), found, "a folder for each of at least two classes"));
        }
        let train = files(&folder.join("train"), &classes)?;
        let test = files(&folder.join("test"), &classes)?;
        Ok((folder, classes, train, test))
    }
}

/// The sorted names of what a folder holds: of folders, or else of PNG files.
fn names(folder: &Path, folders: bool) -> Result<Vec<String>> {
    if !folder.is_dir() {
        let legal = "images lie as train/CLASS/NAME.png and test/CLASS/NAME.png";
        return Err(refused(folder, "there is no such folder", legal));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, "read", e))? {
        let path = entry.map_err(|e| Error::io(folder, "read", e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(refused(&path, "its name is not UTF-8", "rename it"));
        };
        // What systems and editors leave behind.
        if name.starts_with('.') {
            continue;
        }
        let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        if folders && !path.is_dir() {
            return Err(refused(
                &path,
                "it is no folder",
                "here lies a folder for each class, and nothing else",
            ));
        }
        if !(folders || is_png && path.is_file()) {
            return Err(refused(
                &path,
                "it is no PNG file",
                "here lie the PNG files of a class, and nothing else",
            ));
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The files of a part: the first of each class, then the second of each, and so on, so that the first so many are of every class.
fn files(part: &Path, classes: &[String]) -> Result<Listed> {
    let mut listed = Vec::new();
    for name in names(part, true)? {
        let folder = part.join(&name);
        let Ok(class) = classes.binary_search(&name) else {
            let legal = format!("the classes of the training images are {}", classes.join(", "));
            return Err(refused(&folder, "it is a class without training images", legal));
        };
        let names = names(&folder, false)?;
        if names.is_empty() {
            return Err(refused(&folder, "it holds no image", "at least one PNG file, or no such folder"));
        }
        let places = names.into_iter().enumerate();
        listed.extend(places.map(|(place, name)| (place, class as u32, folder.join(name))));
    }
    if listed.is_empty() {
        return Err(refused(
            part,
            "it holds no image",
            "images lie as train/CLASS/NAME.png and test/CLASS/NAME.png",
        ));
    }
    listed.sort_unstable();
    Ok(listed.into_iter().map(|(_, class, path)| (path, class)).collect())
}

fn decoder(path: &Path) -> Result<png::Reader<BufReader<File>>> {
    let (file, length) = open(path, "a PNG file")?;
    if length == 0 {
        return Err(refused(path, "the file is empty", "a PNG file is needed"));
    }
    let mut decoder = Decoder::new_with_limits(BufReader::new(file), Limits { bytes: MEMORY });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let reader = decoder.read_info().map_err(|error| damaged(path, &error))?;
    let (width, height) = reader.info().size();
    if width > LARGEST || height > LARGEST {
        let legal = format!("images have at most {LARGEST} pixels in either direction");
        return Err(refused(path, format!("it has {height} × {width} pixels"), legal));
    }
    Ok(reader)
}

fn damaged(path: &Path, error: &png::DecodingError) -> Error {
    refused(path, format!("it is no whole PNG file: {error}"), "a PNG file is needed")
}

/// Height, width and channels.
fn dimensions(path: &Path) -> Result<[usize; 3]> {
    shape_of(path, &decoder(path)?)
}

fn shape_of(path: &Path, reader: &png::Reader<BufReader<File>>) -> Result<[usize; 3]> {
    let channels = match reader.output_color_type().0 {
        ColorType::Grayscale => 1,
        ColorType::Rgb => 3,
        _ => {
            return Err(refused(
                path,
                "it has transparent pixels",
                "grey or coloured images without transparency",
            ));
        }
    };
    let (width, height) = reader.info().size();
    Ok([height as usize, width as usize, channels])
}

/// Appends the pixels of an image that has the shape of the first.
fn append(path: &Path, (shape, first): ([usize; 3], &Path), into: &mut Vec<u8>) -> Result<()> {
    let told = |[height, width, channels]: [usize; 3]| {
        format!(
            "{height} × {width} pixels in {channels} {}",
            if channels == 1 { "channel" } else { "channels" }
        )
    };
    let mut reader = decoder(path)?;
    let found = shape_of(path, &reader)?;
    if found != shape {
        let legal = format!("{} has {}; all images have the same shape", first.display(), told(shape));
        return Err(refused(path, format!("it has {}", told(found)), legal));
    }
    let start = into.len();
    into.resize(start + shape.iter().product::<usize>(), 0);
    reader.next_frame(&mut into[start..]).map_err(|error| damaged(path, &error))?;
    // What stands after the pixels is checked too.
    reader.finish().map_err(|error| damaged(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::fixtures::{pixel, said};

    /// A PNG file.
    fn png(color: ColorType, depth: png::BitDepth, [height, width]: [u32; 2], data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![0, 0, 0, 10, 20, 30, 40, 50, 60, 255, 255, 255]);
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        bytes
    }

    fn image(number: usize) -> Vec<u8> {
        let pixels: Vec<u8> =
            (0..6).flat_map(|at| (0..3).map(move |c| pixel(number, [at / 3, at % 3, c]))).collect();
        png(ColorType::Rgb, png::BitDepth::Eight, [2, 3], &pixels)
    }

    /// Three images of cats, two of dogs and one of a newt to learn from, one of a dog and one of a newt for the test.
    fn sound() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (number, name) in ["cat/10", "cat/2", "cat/3", "dog/a", "dog/b", "newt/x"].iter().enumerate() {
            put(folder.path(), &format!("train/{name}.png"), &image(number));
        }
        put(folder.path(), "test/newt/1.PNG", &image(6));
        put(folder.path(), "test/dog/1.png", &image(7));
        put(folder.path(), "train/.DS_Store", b"left behind");
        folder
    }

    fn put(folder: &Path, name: &str, content: &[u8]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn settings(folder: &Path) -> ImageFolder {
        ImageFolder { folder: folder.to_owned(), train: None, test: None, normalise: None, augment: None }
    }

    #[test]
    fn classes_take_turns_in_the_order_of_their_names() {
        let folder = sound();
        let images = settings(folder.path());
        let lookup = Lookup::default();
        let shape = Shape { inputs: 18, image: Some([2, 3, 3]), classes: 3 };
        assert_eq!(images.shape(&lookup).unwrap(), shape);
        assert_eq!(images.counts(&lookup).unwrap(), (6, 2));
        let split = images.load(&lookup).unwrap();
        assert_eq!(split.train.labels, [0, 1, 2, 0, 1, 0]);
        assert_eq!(split.test.labels, [1, 2]);
        // As text, 10 comes before 2.
        for (sample, number) in [0, 3, 5, 1, 4, 2].into_iter().enumerate() {
            for (at, &input) in split.train.inputs().column(sample).iter().enumerate() {
                let byte = pixel(number, [at / 9, at / 3 % 3, at % 3]);
                assert_eq!(input, f32::from(byte) / 255.0, "{sample}, {at}");
            }
        }
        let two = ImageFolder { train: Some(2), test: Some(1), ..images.clone() };
        assert_eq!(two.counts(&lookup).unwrap(), (2, 1));
        assert_eq!(two.load(&lookup).unwrap().train, split.train.select(&[0, 1]));
        let error = ImageFolder { train: Some(7), ..images }.load(&lookup).unwrap_err();
        let told = "it holds 6 images; `train` of the data asks for 7";
        assert_eq!(error.to_string(), format!("{}: {told}", folder.path().display()));
    }

    /// Grey images of few bits, and of palettes, become bytes.
    #[test]
    fn every_kind_of_png_without_transparency_is_read() {
        let load = |color, depth, data: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            for name in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
                put(folder.path(), name, &png(color, depth, [1, 2], data));
            }
            let split = settings(folder.path()).load(&Lookup::default()).unwrap();
            let inputs = split.test.inputs();
            inputs.iter().map(|x| (x * 255.0).round() as u8).collect::<Vec<_>>()
        };
        assert_eq!(load(ColorType::Grayscale, png::BitDepth::One, &[0b0100_0000]), [0, 255]);
        assert_eq!(load(ColorType::Grayscale, png::BitDepth::Sixteen, &[7, 1, 9, 2]), [7, 9]);
        assert_eq!(load(ColorType::Indexed, png::BitDepth::Two, &[0b0110_0000]), [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn ten_kinds_of_bad_folders_are_refused_with_their_reason() {
        let refused = |change: &dyn Fn(&Path)| {
            let folder = sound();
            change(folder.path());
            said(&settings(folder.path()).load(&Lookup::default()).unwrap_err(), folder.path())
        };
        let with = |name: &str, content: &[u8]| refused(&|folder| put(folder, name, content));
        // 1. No folder, or not its two parts.
        let error = settings(Path::new("absent")).load(&Lookup::default()).unwrap_err().to_string();
        assert!(error.starts_with("absent: there is no such folder; "), "{error}");
        assert_eq!(
            refused(&|folder| std::fs::remove_dir_all(folder.join("test")).unwrap()),
            "test: there is no such folder; images lie as train/CLASS/NAME.png and test/CLASS/NAME.png"
        );
        // 2. One class, 3. a class without images, 4. or one that cannot be learnt.
        assert_eq!(
            refused(&|folder| ["cat", "dog"]
                .iter()
                .for_each(|c| std::fs::remove_dir_all(folder.join("train").join(c)).unwrap())),
            "train: found 1 folders; a folder for each of at least two classes"
        );
        assert_eq!(
            refused(&|folder| std::fs::remove_file(folder.join("train/newt/x.png")).unwrap()),
            "train/newt: it holds no image; at least one PNG file, or no such folder"
        );
        assert_eq!(
            with("test/eel/1.png", &image(9)),
            "test/eel: it is a class without training images; the classes of the training images are cat, dog, newt"
        );
        // 5. What does not belong there.
        assert_eq!(
            with("train/cat/4.jpg", &image(9)),
            "train/cat/4.jpg: it is no PNG file; here lie the PNG files of a class, and nothing else"
        );
        assert_eq!(
            with("train/notes.txt", b""),
            "train/notes.txt: it is no folder; here lies a folder for each class, and nothing else"
        );
        // 6. Empty, or none of its kind.
        assert_eq!(with("train/cat/4.png", b""), "train/cat/4.png: the file is empty; a PNG file is needed");
        assert!(
            with("train/cat/4.png", b"<html>404</html>")
                .starts_with("train/cat/4.png: it is no whole PNG file: ")
        );
        // 7. Truncated, 8. or damaged.
        let good = image(9);
        assert!(
            with("train/cat/4.png", &good[..good.len() - 20])
                .starts_with("train/cat/4.png: it is no whole PNG file: ")
        );
        let mut bad = good;
        let middle = bad.len() - 25;
        bad[middle] ^= 4;
        assert!(with("train/cat/4.png", &bad).starts_with("train/cat/4.png: it is no whole PNG file: "));
        // 9. Of another size or another number of channels.
        let eight = png::BitDepth::Eight;
        assert_eq!(
            with("train/cat/4.png", &png(ColorType::Rgb, eight, [3, 2], &[1; 18])),
            "train/cat/4.png: it has 3 × 2 pixels in 3 channels; train/cat/10.png has 2 × 3 pixels in 3 channels; \
             all images have the same shape"
        );
        assert!(
            with("train/dog/4.png", &png(ColorType::Grayscale, eight, [2, 3], &[1; 6]))
                .contains("2 × 3 pixels in 1 channel; ")
        );
        // 10. With transparency, or too large.
        assert_eq!(
            with("train/cat/4.png", &png(ColorType::Rgba, eight, [2, 3], &[1; 24])),
            "train/cat/4.png: it has transparent pixels; grey or coloured images without transparency"
        );
        assert_eq!(
            with("train/cat/4.png", &png(ColorType::Grayscale, eight, [1, 4097], &[1; 4097])),
            "train/cat/4.png: it has 1 × 4097 pixels; images have at most 4096 pixels in either direction"
        );
    }

    #[test]
    fn settings_that_do_not_fit_the_images_are_refused() {
        let folder = sound();
        let refused = |images: ImageFolder| images.load(&Lookup::default()).unwrap_err().to_string();
        let augment = Some(Augment { flip: false, crop: 3 });
        let told = "experiment: at `data.images.augment.crop`: found 3; at most the image's own 2 pixels";
        assert_eq!(refused(ImageFolder { augment, ..settings(folder.path()) }), told);
        let normalise = Some(Normalise::of(&[0.5], &[0.5]));
        let told = "experiment: at `data.images.normalise.mean`: found 1 numbers; one for each of 3 channels";
        assert_eq!(refused(ImageFolder { normalise, ..settings(folder.path()) }), told);
    }
}
