"""One network of every family of timm and torchvision is built as a teacher, whole, and gives its library's logits."""

import pytest
import timm
import torch
import torchvision
from timm.models import _registry

from edgedistill.distill import build_model
from edgedistill.distill.models.weights import own_size

# By the module of timm that a family is written in: a small one, by its name, so that most take seconds.
TIMM = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet26t",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet264d",
    "dla": "dla34",
    "dpn": "dpn68",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "eva02_tiny_patch14_224",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_s12",
    "focalnet": "focalnet_tiny_lrf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_a",
    "hgnet": "hgnet_tiny",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_s",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_384_s8",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_maxvit",
    "metaformer": "caformer_s18",
    "mlp_mixer": "gmlp_s16_224",
    "mobilenetv3": "lcnet_050",
    "mobilenetv5": "mobilenetv5_300m",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_siglip",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_xs_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetv_040",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m0_9",
    "res2net": "res2net50_26w_4s",
    "resnest": "resnest26d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_senet154",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_s3_tiny_224",
    "swin_transformer_v2": "swinv2_tiny_window8_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_patch16_224",
    "tresnet": "tresnet_l",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim",
    "xception": "legacy_xception",
    "xception_aligned": "xception41",
    "xcit": "xcit_nano_12_p8_224",
}
# timm's networks of up to a million parameters, made for tests; all others are built with `pytest -m networks`.
QUICK = [name for name in TIMM.values() if name.startswith("test_")]
TORCHVISION = {
    "AlexNet": "alexnet",
    "ConvNeXt": "convnext_tiny",
    "DenseNet": "densenet121",
    "EfficientNet": "efficientnet_b0",
    "GoogLeNet": "googlenet",
    "Inception": "inception_v3",
    "MaxVit": "maxvit_t",
    "MNASNet": "mnasnet0_5",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3": "mobilenet_v3_small",
    "RegNet": "regnet_y_400mf",
    "ResNet": "resnet18",
    "ShuffleNetV2": "shufflenet_v2_x0_5",
    "SqueezeNet": "squeezenet1_1",
    "Swin": "swin_t",
    "Swin V2": "swin_v2_t",
    "VGG": "vgg11",
    "ViT": "vit_b_32",
}
EVERY = [f"timm/{name}" for name in TIMM.values()] + [f"torchvision/{name}" for name in TORCHVISION.values()]


def test_the_list_has_every_family():
    found = {_registry._model_to_module[name] for name in timm.list_models()}
    if tuple(map(int, timm.__version__.split(".")[:3])) > (1, 0, 31):
        pytest.skip("a newer timm may have more")
    assert found == TIMM.keys()
    assert all(_registry._model_to_module[name] == family for family, name in TIMM.items())
    # Names of torchvision's begin with their family's, all but these few.
    kinds = {name.split("_")[0].rstrip("0123456789") for name in TORCHVISION.values()} | {"resnext", "wide", "mnasnet"}
    known = torchvision.models.list_models(module=torchvision.models)
    assert {name.split("_")[0].rstrip("0123456789") for name in known} <= kinds


@pytest.mark.parametrize(
    "name", [name if name[5:] in QUICK else pytest.param(name, marks=pytest.mark.networks) for name in EVERY]
)
def test_it_teaches_by_its_librarys_logits(name, one_thread):
    torch.manual_seed(0)
    model = build_model(name, 3, head="library").eval()
    network = getattr(model.backbone, "model", None)
    side = (299, 299) if name.endswith("inception_v3") else own_size(network)
    images = torch.randn(1, 3, *side)
    with torch.no_grad():
        output = model(images)
        assert output.logits.shape == (1, 3)
        assert output.logits.isfinite().all()
        assert model.has_maps == bool(output.stages)
        if name.startswith("timm/"):
            torch.testing.assert_close(output.logits, network(images), rtol=1e-3, atol=1e-4)
