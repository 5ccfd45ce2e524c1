"""A table of files, and what reading each must give; every file at hand that is named in it is walked."""

import hashlib
from pathlib import Path

import cxr_io
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

# File, transfer syntax, and either the code it is refused by, or: shape; sense, + where the picture rises with the
# stored values (of colour, with the first sample); mean; the start of the SHA-256 of its pixels, little endian, which
# a lossy codec leaves to the decoder's arithmetic. The modality, where it is another, is set to CR; of several frames
# the last is read. The range is 0 to 65535 for all.
TABLE = [
    ("693_J2KI.dcm", "JPEG2000", (512, 512), "+", 33415, None),
    ("CT_small.dcm", "ExplicitVRLittleEndian", (128, 128), "+", 24680, "20d149107e8a"),
    ("ExplVR_BigEnd.dcm", "ExplicitVRBigEndian", (60, 80), "+", 49367, "1b7eead188aa"),
    ("GDCMJ2K_TextGBR.dcm", "JPEG2000Lossless", (400, 400), "+", 52135, "39c335156db0"),
    ("J2K_pixelrep_mismatch.dcm", "JPEG2000Lossless", (512, 512), "+", 22567, "9f7109628032"),
    ("JPEG-lossy.dcm", "JPEGExtended12Bit", (1024, 256), "+", 3567, None),
    ("JPEG2000-embedded-sequence-delimiter.dcm", "JPEG2000", "too_large"),
    ("JPEG2000.dcm", "JPEG2000", (1024, 256), "+", 10356, None),
    ("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless", "too_small"),
    ("JPEGLSNearLossless_16.dcm", "JPEGLSNearLossless", "too_small"),
    ("JPGExtended.dcm", "JPEGExtended12Bit", (1024, 256), "+", 3567, None),
    ("MR_small.dcm", "ExplicitVRLittleEndian", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_RLE.dcm", "RLELossless", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_bigendian.dcm", "ExplicitVRBigEndian", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_expb.dcm", "ExplicitVRBigEndian", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_implicit.dcm", "ImplicitVRLittleEndian", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_jp2klossless.dcm", "JPEG2000Lossless", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_jpeg_ls_lossless.dcm", "JPEGLSLossless", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_small_padded.dcm", "ExplicitVRLittleEndian", (64, 64), "+", 12726, "c40ab14c74ad"),
    ("MR_truncated.dcm", "ExplicitVRLittleEndian", "truncated"),
    ("SC_jpeg_no_color_transform.dcm", "JPEGBaseline8Bit", (256, 256), "+", 61370, None),
    ("SC_jpeg_no_color_transform_2.dcm", "JPEGBaseline8Bit", (256, 256), "+", 59098, None),
    ("SC_rgb_dcmtk_+eb+cr.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32827, None),
    ("SC_rgb_dcmtk_+eb+cy+n1.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_dcmtk_+eb+cy+n2.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_dcmtk_+eb+cy+np.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_dcmtk_+eb+cy+s2.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_gdcm_KY.dcm", "JPEG2000", (100, 100), "+", 32819, None),
    ("SC_rgb_jls_lossy_line.dcm", "JPEGLSNearLossless", (100, 100), "+", 32896, "f1069ac6a800"),
    ("SC_rgb_jls_lossy_sample.dcm", "JPEGLSNearLossless", (100, 100), "+", 32896, "f1069ac6a800"),
    ("SC_rgb_jpeg_app14_dcmd.dcm", "JPEGBaseline8Bit", (256, 256), "+", 59098, None),
    ("SC_rgb_jpeg_dcmd.dcm", "ImplicitVRLittleEndian", (256, 256), "+", 61370, "40b1acbfb3e3"),
    ("SC_rgb_jpeg_dcmtk.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32816, None),
    ("SC_rgb_jpeg_gdcm.dcm", "JPEGLosslessSV1", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_jpeg_lossy_gdcm.dcm", "JPEGBaseline8Bit", (100, 100), "+", 32819, None),
    ("SC_rgb_rle.dcm", "RLELossless", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_rle_16bit.dcm", "RLELossless", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_rle_16bit_2frame.dcm", "RLELossless", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_rle_2frame.dcm", "RLELossless", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_rle_32bit.dcm", "RLELossless", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_rle_32bit_2frame.dcm", "RLELossless", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_small_odd.dcm", "ExplicitVRLittleEndian", "too_small"),
    ("SC_rgb_small_odd_big_endian.dcm", "ExplicitVRBigEndian", "too_small"),
    ("SC_rgb_small_odd_jpeg.dcm", "JPEGBaseline8Bit", "too_small"),
    ("SC_ybr_full_422_uncompressed.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32816, "7a5b1fe6bf7d"),
    ("badVR.dcm", "ExplicitVRLittleEndian", "unreadable"),
    ("examples_jpeg2k.dcm", "JPEG2000Lossless", (480, 640), "+", 9148, "ca93603912c0"),
    ("examples_overlay.dcm", "ExplicitVRLittleEndian", (300, 484), "+", 11186, "9639e7f3490a"),
    ("examples_palette.dcm", "ExplicitVRLittleEndian", (350, 800), "+", 5004, "e9356ea54143"),
    ("examples_rgb_color.dcm", "ExplicitVRLittleEndian", (240, 320), "+", 9080, "00839ee7e0f4"),
    ("examples_ybr_color.dcm", "JPEGBaseline8Bit", (240, 320), "+", 3624, None),
    ("image_dfl.dcm", "DeflatedExplicitVRLittleEndian", (512, 512), "+", 32669, "914f4357cd65"),
    ("liver_1frame.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 9058, "a52b6c504eb7"),
    ("liver_expb_1frame.dcm", "ExplicitVRBigEndian", (512, 512), "+", 9058, "a52b6c504eb7"),
    ("rtdose.dcm", "ImplicitVRLittleEndian", "unreadable"),
    ("rtdose_1frame.dcm", "ImplicitVRLittleEndian", "unreadable"),
    ("rtdose_expb.dcm", "ExplicitVRBigEndian", "unreadable"),
    ("rtdose_expb_1frame.dcm", "ExplicitVRBigEndian", "unreadable"),
    ("rtdose_rle.dcm", "RLELossless", "unreadable"),
    ("rtdose_rle_1frame.dcm", "RLELossless", "unreadable"),
    ("693_J2KR.dcm", "JPEG2000Lossless", (512, 512), "+", 10886, "1af0051e96f1"),
    ("693_UNCI.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 33415, "966ee7821a71"),
    ("693_UNCR.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 10886, "1af0051e96f1"),
    ("JPEG-LL.dcm", "JPEGLosslessSV1", (1024, 256), "+", 3234, "0c67b7014839"),
    ("JPEG2000_UNC.dcm", "ExplicitVRLittleEndian", (1024, 256), "+", 10356, "09a094f6219f"),
    ("JPGLosslessP14SV1_1s_1f_8b.dcm", "JPEGLosslessSV1", (768, 1024), "+", 4435, "8c72bc743dda"),
    ("MR-SIEMENS-DICOM-WithOverlays.dcm", "ExplicitVRLittleEndian", (484, 484), "+", 6984, "5fa83d4b7965"),
    ("MR2_J2KI.dcm", "JPEG2000", (1024, 1024), "+", 8207, None),
    ("MR2_J2KR.dcm", "JPEG2000Lossless", (1024, 1024), "+", 8270, "eedb33c60242"),
    ("MR2_UNCI.dcm", "ExplicitVRLittleEndian", (1024, 1024), "+", 8207, "86b011f9ded3"),
    ("MR2_UNCR.dcm", "ExplicitVRLittleEndian", (1024, 1024), "+", 8270, "eedb33c60242"),
    ("OBXXXX1A.dcm", "ExplicitVRLittleEndian", (600, 800), "+", 3044, "191da9c29eff"),
    ("OBXXXX1A_2frame.dcm", "ExplicitVRLittleEndian", (600, 800), "+", 10274, "5c8db5be2a69"),
    ("OBXXXX1A_expb.dcm", "ExplicitVRBigEndian", (600, 800), "+", 3044, "191da9c29eff"),
    ("OBXXXX1A_expb_2frame.dcm", "ExplicitVRBigEndian", (600, 800), "+", 10274, "5c8db5be2a69"),
    ("OBXXXX1A_rle.dcm", "RLELossless", (600, 800), "+", 3044, "191da9c29eff"),
    ("OBXXXX1A_rle_2frame.dcm", "RLELossless", (600, 800), "+", 10274, "5c8db5be2a69"),
    ("OT-PAL-8-face.dcm", "none", (480, 640), "-", 26139, "6c5acd6259b0"),
    ("RG1_J2KI.dcm", "JPEG2000", (1955, 1841), "-", 48740, None),
    ("RG1_J2KR.dcm", "JPEG2000Lossless", (1955, 1841), "-", 48854, "e59df54d187b"),
    ("RG1_UNCI.dcm", "ExplicitVRLittleEndian", (1955, 1841), "-", 48740, "ca90f3ccb4e0"),
    ("RG1_UNCR.dcm", "ExplicitVRLittleEndian", (1955, 1841), "-", 48854, "e59df54d187b"),
    ("RG3_J2KI.dcm", "JPEG2000", (1760, 1760), "-", 44221, None),
    ("RG3_J2KR.dcm", "JPEG2000Lossless", (1760, 1760), "-", 44221, "e2fdcedab9f7"),
    ("RG3_UNCI.dcm", "ExplicitVRLittleEndian", (1760, 1760), "-", 44221, "811b2e5db06c"),
    ("RG3_UNCR.dcm", "ExplicitVRLittleEndian", (1760, 1760), "-", 44221, "e2fdcedab9f7"),
    ("SC_rgb.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_16bit.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_16bit_2frame.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_2frame.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_32bit.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_32bit_2frame.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_dcmtk_ebcr_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32827, "53bb07c1c569"),
    ("SC_rgb_dcmtk_ebcyn1_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32799, "a0bab979b30e"),
    ("SC_rgb_dcmtk_ebcyn2_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32817, "9ae706fca13d"),
    ("SC_rgb_dcmtk_ebcynp_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32799, "a0bab979b30e"),
    ("SC_rgb_dcmtk_ebcys2_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32817, "9ae706fca13d"),
    ("SC_rgb_dcmtk_ebcys4_dcmd.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32817, "9ae706fca13d"),
    ("SC_rgb_expb.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_expb_16bit.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_expb_16bit_2frame.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_expb_2frame.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_expb_32bit.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_rgb_expb_32bit_2frame.dcm", "ExplicitVRBigEndian", (100, 100), "+", 32716, "08b2007037d6"),
    ("SC_rgb_gdcm2k_uncompressed.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32819, "3fd5e4adb4a8"),
    ("SC_ybr_full_uncompressed.dcm", "ExplicitVRLittleEndian", (100, 100), "+", 32816, "7a5b1fe6bf7d"),
    ("US1_J2KI.dcm", "JPEG2000", (480, 640), "+", 9180, None),
    ("US1_J2KR.dcm", "JPEG2000Lossless", (480, 640), "+", 9148, "ca93603912c0"),
    ("US1_UNCI.dcm", "ExplicitVRLittleEndian", (480, 640), "+", 9180, "fa11349a37f5"),
    ("US1_UNCR.dcm", "ExplicitVRLittleEndian", (480, 640), "+", 9148, "ca93603912c0"),
    ("bad_sequence.dcm", "JPEGLosslessSV1", (512, 512), "+", 27167, "3669c50d98af"),
    ("color-pl.dcm", "ExplicitVRLittleEndian", (120, 256), "+", 8077, "231591d4e683"),
    ("color-px.dcm", "ExplicitVRLittleEndian", (120, 256), "+", 8077, "231591d4e683"),
    ("color3d_jpeg_baseline.dcm", "JPEGBaseline8Bit", (480, 640), "+", 3659, None),
    ("eCT_Supplemental.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 20994, "fa53b088662e"),
    ("emri_small.dcm", "ExplicitVRLittleEndian", (64, 64), "+", 20679, "f4382d5cd69c"),
    ("emri_small_RLE.dcm", "RLELossless", (64, 64), "+", 20679, "f4382d5cd69c"),
    ("emri_small_big_endian.dcm", "ExplicitVRBigEndian", (64, 64), "+", 20679, "f4382d5cd69c"),
    ("emri_small_jpeg_2k_lossless.dcm", "JPEG2000Lossless", (64, 64), "+", 20679, "f4382d5cd69c"),
    ("emri_small_jpeg_ls_lossless.dcm", "JPEGLSLossless", (64, 64), "+", 20679, "f4382d5cd69c"),
    ("explicit_VR-UN.dcm", "JPEG2000Lossless", (512, 512), "+", 10469, "50f69937f201"),
    ("gdcm-US-ALOKA-16.dcm", "ImplicitVRLittleEndian", (480, 640), "+", 7680, "8f871a3f3a6a"),
    ("gdcm-US-ALOKA-16_big.dcm", "ExplicitVRBigEndian", (480, 640), "+", 7680, "8f871a3f3a6a"),
    ("liver.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 8805, "4fa84797a529"),
    ("liver_expb.dcm", "ExplicitVRBigEndian", (512, 512), "+", 8805, "4fa84797a529"),
    ("mlut_18.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 33177, "c03504deb7b6"),
    ("vlut_04.dcm", "ExplicitVRLittleEndian", (512, 512), "+", 33109, "a38b81c9af81"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own, of files that are wrong on purpose
def test_a_file_reads_as_the_table_says(tmp_path: Path, row: tuple) -> None:
    name, syntax, *expected = row
    ds = pydicom.dcmread(_data(name), force=True)
    assert getattr(ds.file_meta.get("TransferSyntaxUID"), "keyword", "none") == syntax
    ds.Modality = "CR"
    path = tmp_path / name
    ds.save_as(path)
    frames = int(ds.get("NumberOfFrames") or 1) if name != "badVR.dcm" else 1
    frame = None if frames == 1 else frames - 1
    if isinstance(expected[0], str):
        with pytest.raises(cxr_io.CxrError) as caught:
            cxr_io.read(path, frame=frame)
        assert caught.value.code == expected[0]
        return
    shape, sense, mean, checksum = expected
    pixels = cxr_io.read(path, frame=frame).pixels
    assert pixels.shape == shape
    assert (pixels.min(), pixels.max()) == (0, 65535)
    assert abs(pixels.mean() - mean) < 30
    if syntax != "none":  # without one pydicom decodes nothing
        assert _sense(path, pixels, frame) == sense
    if checksum:
        assert hashlib.sha256(pixels.astype("<u2").tobytes()).hexdigest().startswith(checksum)


def _sense(path: Path, pixels: np.ndarray, frame: int | None) -> str:
    stored = pydicom.pixels.pixel_array(pydicom.dcmread(path), index=frame or 0, raw=True)
    first = stored[..., 0] if stored.ndim == 3 else stored
    return "+" if np.corrcoef(first.ravel(), pixels.ravel())[0, 1] > 0 else "-"


@pytest.mark.parametrize("number", ["RG1", "RG3"])
def test_a_real_radiograph_is_the_same_in_four_files(number: str) -> None:
    def pixels(kind: str) -> np.ndarray:
        return cxr_io.read(_data(f"{number}_{kind}.dcm")).pixels.astype(int)

    reference = pixels("UNCR")
    assert np.array_equal(pixels("J2KR"), reference)
    lossy = pixels("J2KI")
    assert np.abs(lossy - pixels("UNCI")).max() <= 65535 * 0.0001  # the same codestream by another decoder
    assert np.abs(lossy - reference).max() <= 65535 * 0.02
    assert np.abs(lossy - reference).mean() <= 65535 * 0.003


def _data(name: str) -> str:
    path = get_testdata_file(name, download=False)
    if path is None:
        pytest.skip(f"pydicom's test files at hand have no {name}")
    return str(path)
